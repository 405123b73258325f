package files

import (
	"io"

	"tim/internal/fault"
)

// roomEvery is after how many bytes the free space is asked for again.
const roomEvery = 1 << 20

// intake is a file on its way to the store. It refuses one that is over its limit (0: none) or its owner's, of another kind, or for
// which there is no room. When the file has ended, admit has the last word. It keeps the error, since the store wraps what it gets.
type intake struct {
	r     io.Reader
	limit int64
	left  int64 // of the owner's quota
	judge judge // nil once it has decided
	room  func() error
	admit func(size int64) error

	total int64
	asked int64 // the total up to which there is room
	err   error
	ended bool
}

func (in *intake) Read(p []byte) (int, error) {
	switch {
	case in.err != nil:
		return 0, in.err
	case in.ended:
		return 0, io.EOF
	}
	n, err := in.r.Read(p)
	in.total += int64(n)
	if isEOF(err) || err == nil {
		if refusal := in.check(p[:n], err != nil); refusal != nil {
			in.err = refusal
			return 0, refusal
		}
	}
	if in.ended = isEOF(err); err != nil && !in.ended {
		in.err = err
	}
	return n, err
}

// check looks at the next bytes, which may be the last.
func (in *intake) check(b []byte, last bool) error {
	if in.limit > 0 && in.total > in.limit {
		return fault.New(fault.FileTooLarge)
	}
	if err := in.checkKind(b, last); err != nil {
		return err
	}
	if in.judge == nil && in.total > in.left {
		return fault.New(fault.QuotaExceeded)
	}
	if in.total >= in.asked {
		in.asked = in.total + roomEvery
		if err := in.room(); err != nil {
			return err
		}
	}
	if last {
		return in.admit(in.total)
	}
	return nil
}

func (in *intake) checkKind(b []byte, last bool) error {
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
