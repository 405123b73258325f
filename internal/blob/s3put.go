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

// minio-go's own upload of a stream is not used, because it takes io.ErrUnexpectedEOF, with which a broken-off multipart
// form ends, for the end of the file; because it makes three requests for the smallest file; and because it
// sends a part again from the very reader that the failed attempt may still be reading.

const (
	partSize  = 5 << 20 // the least that S3 takes for any part but the last
	blockSize = 64 << 10
	maxParts  = 10_000 // S3's limit
)

// part is a piece of a file on its way to S3. Its blocks are made as they are needed and used again for the next part.
type part struct {
	blocks [][]byte
	size   int
	sum    string // SHA-256, in hex
	// inUse: the writer of a connection on which an attempt failed may still hold the blocks.
	inUse bool
}

// fill reads the next part from r. It reports whether r has ended with this part, which may be empty then.
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
		if err == io.EOF { // not errors.Is: a wrapped one is not r's end but a failure
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

// reader reads the part from its start. It hides all but Read, so that minio-go doesn't rewind it.
func (p *part) reader() io.Reader {
	readers := make([]io.Reader, 0, len(p.blocks))
	for left, i := p.size, 0; left > 0; i++ {
		n := min(left, blockSize)
		readers = append(readers, bytes.NewReader(p.blocks[i][:n]))
		left -= n
	}
	return struct{ io.Reader }{io.MultiReader(readers...)}
}

// Put implements Store. Files of less than 5 MiB cost one request.
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
		return 0, failed("put", key, err)
	}
	return size, nil
}

// putWhole stores an object that is one part.
func (s *S3) putWhole(ctx context.Context, key string, p *part) error {
	return s.send(ctx, p, func(ctx context.Context) error {
		_, err := s.core.PutObject(ctx, s.bucket, key, p.reader(), int64(p.size), "", p.sum,
			minio.PutObjectOptions{DisableContentSha256: true})
		return err
	})
}

// putParts stores an object as a multipart upload: p, which is full, and what r still yields.
func (s *S3) putParts(ctx context.Context, key string, p *part, r io.Reader) (size int64, err error) {
	id, err := s.begin(ctx, key)
	if err != nil {
		return 0, err
	}
	completed := false
	defer func() { // also when r panics
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

// sendParts sends p and what r still yields.
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

// begin opens a multipart upload. It can't be cancelled, else one might be open whose id nobody was told.
func (s *S3) begin(ctx context.Context, key string) (id string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	return s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{})
}

func (s *S3) putPart(ctx context.Context, key, id string, number int, p *part) (minio.CompletePart, error) {
	var sent minio.ObjectPart
	err := s.send(ctx, p, func(ctx context.Context) (err error) {
		sent, err = s.core.PutObjectPart(ctx, s.bucket, key, id, number, p.reader(), int64(p.size),
			minio.PutObjectPartOptions{Sha256Hex: p.sum, DisableContentSha256: true})
		return err
	})
	return minio.CompletePart{PartNumber: number, ETag: sent.ETag}, err
}

func (s *S3) complete(ctx context.Context, key, id string, parts []minio.CompletePart) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	_, err := s.core.CompleteMultipartUpload(ctx, s.bucket, key, id, parts, minio.PutObjectOptions{})
	return err
}

// abort removes a multipart upload, also when ctx has ended. That it is gone already is no error.
func (s *S3) abort(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	err := s.core.AbortMultipartUpload(ctx, s.bucket, key, id)
	if err != nil && answerIn(err).Code != minio.NoSuchUpload {
		return fmt.Errorf("remove the incomplete upload: %w", err)
	}
	return nil
}

// send makes up to three attempts to send p, each with its own deadline.
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

// worthRetrying tells an answer that says no from one, or from a broken connection, that may be better next time.
func worthRetrying(err error) bool {
	answer := answerIn(err)
	return answer.StatusCode == 0 || answer.StatusCode >= http.StatusInternalServerError ||
		answer.StatusCode == http.StatusTooManyRequests || answer.Code == "RequestTimeout"
}
