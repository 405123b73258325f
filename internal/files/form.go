package files

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"

	"tim/internal/fault"
)

const (
	// maxFields bounds the parts of an upload's form beside the file.
	maxFields = 16
	// maxField bounds such a part, in bytes.
	maxField = 1 << 10
)

// Form reads the file out of an upload's form as it streams by. The form is good only as a whole, and what matters may
// stand behind the file: so Read ends with io.EOF only after the whole form was read and Check has accepted it. It is
// for one goroutine.
type Form struct {
	// Check accepts or refuses the form's other fields once all are read; nil accepts.
	Check func(fields map[string]string) error

	parts  *multipart.Reader
	file   *multipart.Part
	fields map[string]string
	err    error
}

// NewForm returns a Form over a request's parts.
func NewForm(parts *multipart.Reader, check func(fields map[string]string) error) *Form {
	return &Form{Check: check, parts: parts, fields: make(map[string]string)}
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
	case errors.Is(err, io.EOF):
		f.err = f.finish()
	default:
		f.err = malformed(err)
	}
	return n, f.err
}

func (f *Form) seekFile() error {
	for {
		part, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return fault.Invalid(fault.MalformedUpload, "file", "is missing")
		case err != nil:
			return err
		case part != nil:
			f.file = part
			return nil
		}
	}
}

// finish reads what stands behind the file and has the form checked. It returns io.EOF for a good one.
func (f *Form) finish() error {
	for {
		part, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			if f.Check != nil {
				if err := f.Check(f.fields); err != nil {
					return err
				}
			}
			return io.EOF
		case err != nil:
			return err
		case part != nil:
			return fault.Invalid(fault.MalformedUpload, "file", "must be one")
		}
	}
}

// next reads one part: it returns the file, or keeps a field and returns nil.
func (f *Form) next() (*multipart.Part, error) {
	part, err := f.parts.NextRawPart()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, malformed(err)
	}
	if part.FormName() == "file" {
		return part, nil
	}
	if len(f.fields) == maxFields {
		return nil, fault.Invalid(fault.MalformedUpload, "", fmt.Sprintf("has more than %d fields", maxFields))
	}
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return nil, malformed(err)
	}
	if len(value) > maxField {
		return nil, fault.Invalid(fault.MalformedUpload, "", fmt.Sprintf("has a field of more than %d bytes", maxField))
	}
	f.fields[part.FormName()] = string(value)
	return nil, nil
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
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}
