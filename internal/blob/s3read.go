package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

const (
	// maxHead is how many bytes net/http reads to guess a file's type before it rewinds.
	maxHead = 512
	// maxSkip is the number of bytes up to which reading on is cheaper than another request.
	maxSkip = 64 << 10
)

// Open implements Store. It costs one request, a HEAD. The first Read costs another one, and so does a Read after a Seek,
// unless the Seek went forward by less than maxSkip or back into the first 512 bytes.
func (s *S3) Open(ctx context.Context, key string) (*Object, error) {
	if !validKey(key) {
		return nil, failed("open", key, ErrNotFound)
	}
	call, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	info, err := s.core.StatObject(call, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if answerIn(err).Code == minio.NoSuchKey {
		return nil, failed("open", key, ErrNotFound)
	}
	if err == nil && info.Size < 0 {
		err = errors.New("the server doesn't tell its size")
	}
	if err != nil {
		return nil, failed("open", key, err)
	}
	etag := ""
	if info.ETag != "" {
		etag = `"` + info.ETag + `"`
	}
	ctx, cancelReading := context.WithCancel(ctx)
	return &Object{
		ReadSeekCloser: &s3Reader{s3: s, ctx: ctx, cancel: cancelReading, key: key, etag: info.ETag, size: info.Size},
		Size:           info.Size,
		ModTime:        info.LastModified,
		ETag:           etag,
	}, nil
}

// s3Reader reads an object by a GET from the first read offset to the object's end. It abandons the GET when the reading
// continues elsewhere. If a body breaks off after it has yielded something, the rest is requested again: S3 breaks off bodies
// whose reader pauses.
type s3Reader struct {
	s3     *S3
	ctx    context.Context //nolint:containedctx // Open's, which bounds the reading
	cancel context.CancelFunc
	key    string
	etag   string // of the version to read; no other one is accepted
	size   int64

	mu     sync.Mutex // net/http may still read ranges in a goroutine when the handler closes the Object
	offset int64      // where the next Read begins
	head   []byte     // the object's first bytes, as many as were read
	body   io.ReadCloser
	at     int64 // the offset of body's next byte
	moved  bool  // body has yielded something
	closed bool
	err    error // the first failure
}

func (r *s3Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, os.ErrClosed
	}
	if r.offset >= r.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.offset < int64(len(r.head)) {
		n := copy(p, r.head[r.offset:])
		r.offset += int64(n)
		return n, nil
	}
	n, err := r.readBody(p)
	if err != nil {
		err = failed("read", r.key, err)
		if r.err == nil {
			r.err = err
		}
	}
	return n, err
}

// readBody reads at least one byte at offset, or returns an error.
func (r *s3Reader) readBody(p []byte) (int, error) {
	for {
		if err := r.align(); err != nil {
			return 0, err
		}
		n, err := r.body.Read(p)
		if n > 0 { // an error beside it will come again
			r.advance(p[:n])
			return n, nil
		}
		if err == nil {
			continue
		}
		resumable := r.moved
		r.dropBody()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if !resumable || r.ctx.Err() != nil {
			return 0, err
		}
	}
}

// align makes offset the offset of body's next byte.
func (r *s3Reader) align() error {
	if gap := r.offset - r.at; r.body != nil && gap > 0 && gap <= maxSkip {
		n, _ := io.CopyN(io.Discard, r.body, gap) // if it fails, body is opened again
		r.at += n
	}
	if r.body != nil && r.at == r.offset {
		return nil
	}
	r.dropBody()
	return r.openBody()
}

func (r *s3Reader) openBody() error {
	var opts minio.GetObjectOptions
	if r.etag != "" {
		if err := opts.SetMatchETag(r.etag); err != nil {
			return err
		}
	}
	wantRange := ""
	if r.offset > 0 {
		if err := opts.SetRange(r.offset, 0); err != nil {
			return err
		}
		wantRange = fmt.Sprintf("bytes %d-", r.offset)
	}
	body, _, header, err := r.s3.core.GetObject(r.ctx, r.s3.bucket, r.s3.prefix+r.key, opts)
	switch {
	case answerIn(err).Code == minio.NoSuchKey:
		return ErrNotFound
	case answerIn(err).Code == minio.PreconditionFailed:
		return errors.New("replaced by another version meanwhile")
	case err != nil:
		return err
	}
	if !strings.HasPrefix(header.Get("Content-Range"), wantRange) {
		return errors.Join(errors.New("the server doesn't answer ranges"), body.Close())
	}
	r.body, r.at, r.moved = body, r.offset, false
	return nil
}

// advance notes what body has yielded at offset.
func (r *s3Reader) advance(p []byte) {
	if r.offset == int64(len(r.head)) && len(r.head) < maxHead {
		r.head = append(r.head, p[:min(len(p), maxHead-len(r.head))]...)
	}
	r.moved = true
	r.offset += int64(len(p))
	r.at = r.offset
}

func (r *s3Reader) dropBody() {
	if r.body != nil {
		_ = r.body.Close() // it was only read, so nothing can be lost
		r.body = nil
	}
}

func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("blob: seek: whence %d is unknown", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("blob: seek: position %d lies before the start", offset)
	}
	r.offset = offset
	return offset, nil
}

// Close implements io.Closer. It ends another goroutine's Read.
func (r *s3Reader) Close() error {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.dropBody()
	return nil
}

// failure returns the first error of a Read, other than the file's end.
func (r *s3Reader) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
