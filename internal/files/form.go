package files

import (
	"bufio"
	"fmt"
	"io"
	"mime/multipart"
	"strings"

	"tim/internal/fault"
)

const (
	// maxFields bounds the parts of an upload's form beside the file.
	maxFields = 16
	// maxField bounds such a part, in bytes.
	maxField = 1 << 10
	// readAhead is how much of a body is read at once: the multipart.Reader would read 4 kB.
	readAhead = 64 << 10
)

// Form reads the file out of an upload's form as it streams by. The form is good only as a whole, and what matters may
// stand behind the file: so Read ends with io.EOF only after the whole form was read and the check has accepted it. It
// is for one goroutine.
type Form struct {
	parts  *multipart.Reader
	check  func(fields map[string]string) error
	file   *multipart.Part
	fields map[string]string
	kept   int // how many parts went into fields
	err    error
}

// Whole returns a form's body to be put under the multipart.Reader, which without it would take a body that ends within
// a part's header for one that ends where it should. What is added here lies behind the end of a whole form, and leaves
// a broken one with a part that doesn't end.
func Whole(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{bufio.NewReaderSize(io.MultiReader(body, strings.NewReader("\r\n\r\n")), readAhead), body}
}

// NewForm returns a Form over the parts of a body that went through Whole. check accepts or refuses the form's other fields once all are read;
// nil accepts.
func NewForm(parts *multipart.Reader, check func(fields map[string]string) error) *Form {
	return &Form{parts: parts, check: check, fields: make(map[string]string)}
}

// Read yields the bytes of the part called file.
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

// finish reads what stands behind the file and has the form checked. It returns io.EOF for a good one.
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

// nextFile keeps the fields before the next part called file and returns that part; io.EOF when the form ends before
// one.
func (f *Form) nextFile() (*multipart.Part, error) {
	for {
		part, err := f.parts.NextRawPart()
		switch {
		case isEOF(err):
			return nil, io.EOF
		case err != nil:
			return nil, malformed(err)
		case part.FormName() == "file":
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

// isEOF tells a good end from a break: readers wrap io.EOF to say that more should have come.
func isEOF(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

func malformed(cause error) error { return fault.Wrap(fault.MalformedUpload, cause) }

// limited refuses what goes over its limit (0: none), and remembers why it failed: the store wraps what it is told.
type limited struct {
	r     io.Reader
	limit int64
	total int64
	err   error
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.total += int64(n); l.limit > 0 && l.total > l.limit {
		err = fault.New(fault.FileTooLarge)
	}
	if err != nil && !isEOF(err) {
		l.err = err
	}
	return n, err
}
