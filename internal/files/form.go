package files

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"strings"

	"tim/internal/fault"
)

const (
	// maxFields bounds the number of parts of an upload's form besides the file.
	maxFields = 16
	// maxField bounds the size of such a part, in bytes.
	maxField = 1 << 10
	// maxHead bounds what stands between the contents of two parts: the header, and the text before the first part. The
	// multipart.Reader alone would keep 10 MB of it for each form.
	maxHead = 64 << 10
	// readAhead is the size of one read of a body, in bytes. The multipart.Reader alone would read 4 kB.
	readAhead = 64 << 10
)

// Form reads the file out of an upload's form without storing the form. Fields that matter may come after the file, so Read
// returns io.EOF only after the whole form was read and check has accepted it. One goroutine uses a Form.
type Form struct {
	parts  *multipart.Reader
	body   *Body
	check  func(fields map[string]string) error
	file   *multipart.Part
	fields map[string]string
	kept   int // the number of parts in fields
	err    error
}

// Body is a form's body, as it is read below the multipart.Reader. It bounds what is read outside the file. One goroutine uses
// a Body.
type Body struct {
	io.Reader
	io.Closer

	inFile bool
	head   int // what may be read before the next part's content, in bytes
}

// Whole wraps a form's body. A multipart.Reader takes a body that ends within a part's header for a complete one. Whole appends
// bytes that a complete form ignores and that make a broken one end within a part.
func Whole(body io.ReadCloser) *Body {
	return &Body{
		Reader: bufio.NewReaderSize(io.MultiReader(body, strings.NewReader("\r\n\r\n")), readAhead), Closer: body, head: maxHead,
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.inFile {
		return b.Reader.Read(p) //nolint:wrapcheck // the multipart.Reader compares it
	}
	if b.head <= 0 {
		return 0, fault.Invalid(fault.MalformedUpload, "form", fmt.Sprintf("must have headers of at most %d bytes", maxHead))
	}
	n, err := b.Reader.Read(p[:min(len(p), b.head)])
	b.head -= n
	return n, err //nolint:wrapcheck // the same
}

// NewForm returns a Form over the parts of a body. check accepts or refuses the form's other fields after all are read; nil
// accepts them.
func NewForm(parts *multipart.Reader, body *Body, check func(fields map[string]string) error) *Form {
	return &Form{parts: parts, body: body, check: check, fields: make(map[string]string)}
}

// Read yields the bytes of the part with the name "file".
func (f *Form) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	if f.file == nil {
		if f.err = f.seekFile(); f.err != nil {
			return 0, f.err
		}
	}
	n, err := f.file.Read(p)
	switch {
	case err == nil:
	case isEOF(err):
		f.err = f.finish()
	default:
		f.err = malformed(err)
	}
	return n, f.err
}

// seekFile reads up to the file.
func (f *Form) seekFile() error {
	file, err := f.nextFile()
	if isEOF(err) {
		return fault.Invalid(fault.MalformedUpload, "file", "is missing")
	}
	f.file = file
	return err
}

// finish reads the parts after the file and checks the form. It returns io.EOF for a good form.
func (f *Form) finish() error {
	_, err := f.nextFile()
	switch {
	case err == nil:
		return fault.Invalid(fault.MalformedUpload, "file", "must be one")
	case isEOF(err) && f.check != nil:
		if err := f.check(f.fields); err != nil {
			return err
		}
	}
	return err
}

// nextFile stores the fields before the next part with the name "file" and returns that part. It returns io.EOF if there is
// none.
func (f *Form) nextFile() (*multipart.Part, error) {
	for {
		f.body.inFile, f.body.head = false, maxHead
		part, err := f.parts.NextRawPart()
		switch {
		case isEOF(err):
			return nil, io.EOF
		case err != nil:
			return nil, malformed(err)
		case part.FormName() == "file":
			f.body.inFile = true
			return part, nil
		}
		if err := f.keep(part); err != nil {
			return nil, err
		}
	}
}

func (f *Form) keep(part *multipart.Part) error {
	if f.kept++; f.kept > maxFields {
		return fault.Invalid(fault.MalformedUpload, "form", fmt.Sprintf("must have at most %d fields", maxFields))
	}
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return malformed(err)
	}
	if len(value) > maxField {
		return fault.Invalid(fault.MalformedUpload, "form", fmt.Sprintf("must have fields of at most %d bytes", maxField))
	}
	f.fields[part.FormName()] = string(value)
	return nil
}

// isEOF reports whether a reader has ended properly. Readers wrap io.EOF to say that more should have come.
func isEOF(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// malformed is what an error of reading a form means, which the body may have said itself.
func malformed(cause error) error {
	if said, ok := errors.AsType[*fault.Fault](cause); ok {
		return said
	}
	return fault.Wrap(fault.MalformedUpload, cause)
}
