package files

import (
	"io"

	"tim/internal/fault"
)

// intake is a file on its way to the store. It refuses one that is over its limit (0: none) or of another kind, and keeps the
// error, since the store wraps what it gets.
type intake struct {
	r     io.Reader
	limit int64
	judge judge // nil once it has decided

	total int64
	err   error
}

func (in *intake) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.r.Read(p)
	in.total += int64(n)
	if isEOF(err) || err == nil {
		if refusal := in.check(p[:n], err != nil); refusal != nil {
			err = refusal
		}
	}
	if err != nil && !isEOF(err) {
		in.err = err
	}
	return n, err
}

// check looks at the next bytes, which may be the last.
func (in *intake) check(b []byte, last bool) error {
	if in.limit > 0 && in.total > in.limit {
		return fault.New(fault.FileTooLarge)
	}
	if in.judge == nil {
		return nil
	}
	decided, good := in.judge.feed(b)
	if !decided && last {
		decided, good = true, in.judge.end()
	}
	if decided {
		in.judge = nil
		if !good {
			return fault.New(fault.UnsupportedFileType)
		}
	}
	return nil
}
