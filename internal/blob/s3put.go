package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// minio-go's own upload of a stream isn't used, for three reasons. It takes io.ErrUnexpectedEOF, with which a broken-off
// multipart form ends, for the end of the file. It sends three requests for the smallest file. It sends a part again from the
// reader that the failed attempt may still be reading.

const (
	partSize  = 5 << 20 // the smallest size that S3 takes for any part but the last
	blockSize = 64 << 10
	maxParts  = 10_000 // S3's limit
)

// part is a piece of a file that is sent to S3. Its blocks are allocated as they are needed and used again for the next part.
type part struct {
	blocks [][]byte
	size   int
	sum    string // SHA-256, in hex
	// inUse says that the writer of a connection on which an attempt failed may still read the blocks.
	inUse bool
}

// fill reads the next part from r. It reports whether r has ended with this part, which may then be empty.
func (p *part) fill(r io.Reader) (ended bool, err error) {
	p.size = 0
	if p.inUse {
		p.blocks, p.inUse = nil, false
	}
	sum := sha256.New()
	for p.size < partSize {
		if p.size == len(p.blocks)*blockSize {
			p.blocks = append(p.blocks, make([]byte, blockSize))
		}
		free := p.blocks[p.size/blockSize][p.size%blockSize:]
		n, err := r.Read(free)
		sum.Write(free[:n])
		p.size += n
		if err == io.EOF { // not errors.Is: a wrapped io.EOF is a failure, not r's end
			ended = true
			break
		}
		if err != nil {
			return false, err
		}
	}
	p.sum = hex.EncodeToString(sum.Sum(nil))
	return ended, nil
}

// reader returns a reader of the part from its start. It has only Read, so that minio-go doesn't rewind it.
func (p *part) reader() io.Reader {
	readers := make([]io.Reader, 0, len(p.blocks))
	for left, i := p.size, 0; left > 0; i++ {
		n := min(left, blockSize)
		readers = append(readers, bytes.NewReader(p.blocks[i][:n]))
		left -= n
	}
	return struct{ io.Reader }{io.MultiReader(readers...)}
}

// Put implements Store. A file of less than 5 MiB costs one request.
func (s *S3) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if !validKey(key) {
		return 0, failed("put", key, ErrInvalidKey)
	}
	var p part
	r = untilDone{ctx, r}
	ended, err := p.fill(r)
	size := int64(p.size)
	switch {
	case err != nil:
	case ended:
		err = s.putWhole(ctx, key, &p)
	default:
		size, err = s.putParts(ctx, key, &p, r)
	}
	if err != nil {
		return 0, failed("put", key, full(err))
	}
	return size, nil
}

// putWhole stores an object of one part.
func (s *S3) putWhole(ctx context.Context, key string, p *part) error {
	return s.send(ctx, p, func(ctx context.Context) error {
		_, err := s.core.PutObject(ctx, s.bucket, s.prefix+key, p.reader(), int64(p.size), "", p.sum,
			minio.PutObjectOptions{DisableContentSha256: true})
		return err
	})
}

// putParts stores an object as a multipart upload: p, which is full, and the rest of r.
func (s *S3) putParts(ctx context.Context, key string, p *part, r io.Reader) (size int64, err error) {
	id, err := s.begin(ctx, key)
	if err != nil {
		return 0, err
	}
	completed := false
	defer func() { // also if r panics
		if !completed {
			err = errors.Join(err, s.abort(ctx, key, id))
		}
	}()
	parts, size, err := s.sendParts(ctx, key, id, p, r)
	if err == nil {
		err = s.complete(ctx, key, id, parts)
	}
	completed = err == nil
	return size, err
}

// sendParts sends p and the rest of r.
func (s *S3) sendParts(ctx context.Context, key, id string, p *part, r io.Reader) (
	parts []minio.CompletePart, size int64, err error,
) {
	for ended := false; ; {
		sent, err := s.putPart(ctx, key, id, len(parts)+1, p)
		if err != nil {
			return nil, 0, err
		}
		parts, size = append(parts, sent), size+int64(p.size)
		if ended {
			return parts, size, nil
		}
		if ended, err = p.fill(r); err != nil {
			return nil, 0, err
		}
		if ended && p.size == 0 {
			return parts, size, nil
		}
		if len(parts) == maxParts {
			return nil, 0, fmt.Errorf("larger than %d bytes", int64(maxParts)*partSize)
		}
	}
}

// begin opens a multipart upload. It can't be cancelled: an upload might then be open whose id nobody knows.
func (s *S3) begin(ctx context.Context, key string) (id string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	return s.core.NewMultipartUpload(ctx, s.bucket, s.prefix+key, minio.PutObjectOptions{})
}

func (s *S3) putPart(ctx context.Context, key, id string, number int, p *part) (minio.CompletePart, error) {
	var sent minio.ObjectPart
	err := s.send(ctx, p, func(ctx context.Context) (err error) {
		sent, err = s.core.PutObjectPart(ctx, s.bucket, s.prefix+key, id, number, p.reader(), int64(p.size),
			minio.PutObjectPartOptions{Sha256Hex: p.sum, DisableContentSha256: true})
		return err
	})
	return minio.CompletePart{PartNumber: number, ETag: sent.ETag}, err
}

func (s *S3) complete(ctx context.Context, key, id string, parts []minio.CompletePart) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	_, err := s.core.CompleteMultipartUpload(ctx, s.bucket, s.prefix+key, id, parts, minio.PutObjectOptions{})
	return err
}

// abort removes a multipart upload, also after ctx has ended. It succeeds if the upload doesn't exist.
func (s *S3) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	err := s.core.AbortMultipartUpload(ctx, s.bucket, s.prefix+key, id)
	if err != nil && answerIn(err).Code != minio.NoSuchUpload {
		return fmt.Errorf("remove the incomplete upload: %w", err)
	}
	return nil
}

// send sends p in at most three attempts, each with its own deadline.
func (s *S3) send(ctx context.Context, p *part, attempt func(context.Context) error) error {
	for n := 1; ; n++ {
		err := s.sendOnce(ctx, attempt)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if n == maxAttempts || !worthRetrying(err) {
			return err
		}
		p.inUse = true
		select {
		case <-time.After(time.Duration(n) * s.timeouts.pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *S3) sendOnce(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.part)
	defer cancel()
	return attempt(ctx)
}

// worthRetrying reports whether another attempt may succeed: after a broken connection or a temporary error, but not after a
// refusal.
func worthRetrying(err error) bool {
	answer := answerIn(err)
	return answer.StatusCode == 0 || answer.StatusCode >= http.StatusInternalServerError ||
		answer.StatusCode == http.StatusTooManyRequests || answer.Code == "RequestTimeout"
}
