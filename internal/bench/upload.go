package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// UploadOptions are those of `tim bench upload`.
//
//nolint:tagalign // the tags read as sentences
type UploadOptions struct {
	Workers int   `help:"How many accounts upload files and download them again, one after the other." default:"2" json:"workers"`
	Bytes   int64 `help:"Size of the files in bytes. They are videos; see TIM_LIMIT_VIDEO_BYTES." default:"10485760" json:"bytes"`
	Window
}

func (o UploadOptions) run(ctx context.Context, b *bench) ([]Result, error) {
	if o.Bytes < int64(len(videoHeader())) {
		return nil, fmt.Errorf("a file has at least %d bytes", len(videoHeader()))
	}
	people, err := b.accounts(ctx, o.Workers)
	if err != nil {
		return nil, err
	}
	b.http.Timeout = 0 // a large file may take longer than any bound
	rec := newRecorder()
	var mu sync.Mutex
	var broken Promises
	run, err := b.measure(ctx, rec, o.Window, func(ctx context.Context) error {
		return each(ctx, people, len(people), func(ctx context.Context, p *person) error {
			for ctx.Err() == nil {
				same, err := o.roundTrip(ctx, b, rec, p)
				if err != nil {
					return err
				}
				if !same {
					mu.Lock()
					broken.Corrupted++
					mu.Unlock()
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	run.Promises = broken
	run.finishUnits(rec, "file, up or down", rec.done(uploads)+rec.done(downloads))
	mb := float64(o.Bytes) / 1e6 / run.Seconds
	run.facts("up", float64(rec.done(uploads))*mb, "MB/s")
	run.facts("down", float64(rec.done(downloads))*mb, "MB/s")
	run.PerSecond = float64(run.Units) / run.Seconds
	return []Result{run}, nil
}

// roundTrip uploads a file, downloads it, and tells whether it is the same. It finishes what it has begun when ctx ends.
func (o UploadOptions) roundTrip(ctx context.Context, b *bench, rec *recorder, p *person) (same bool, err error) {
	ctx = context.WithoutCancel(ctx)
	due := b.clock.now()
	content := newVideo(o.Bytes, uint64(due)) //nolint:gosec // any number will do
	name, err := b.upload(ctx, rec, p, content)
	if err != nil || name == "" {
		return true, err
	}
	uploaded := b.clock.now()
	rec.record(0, uploads, due, uploaded)
	sum, err := b.download(ctx, p, name)
	rec.record(0, downloads, uploaded, b.clock.now())
	return sum == content.sum, err
}

// upload returns the name of the stored file, "" after a refusal, which it counts.
func (b *bench) upload(ctx context.Context, rec *recorder, p *person, content io.Reader) (name string, err error) {
	var head strings.Builder
	form := multipart.NewWriter(&head)
	if _, err := form.CreateFormFile("file", "video.mp4"); err != nil {
		return "", err
	}
	tail := "\r\n--" + form.Boundary() + "--\r\n"
	body := io.MultiReader(strings.NewReader(head.String()), content, strings.NewReader(tail))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/uploadmp4", body)
	if err != nil {
		return "", err
	}
	r.Header.Set("token", p.token)
	r.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := b.http.Do(r)
	if err != nil {
		return "", fmt.Errorf("upload: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	said, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return "", fmt.Errorf("upload: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		rec.countRefusal(answer.Status)
		return "", nil
	}
	return string(said), nil
}

// download returns the checksum of a file.
func (b *bench) download(ctx context.Context, p *person, name string) (uint32, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/downloadmp4?filename="+url.QueryEscape(name), nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("token", p.token)
	answer, err := b.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("download: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	if answer.StatusCode != http.StatusOK {
		return 0, errors.New("download: " + answer.Status)
	}
	sum := checksum()
	if _, err := io.Copy(sum, answer.Body); err != nil {
		return 0, fmt.Errorf("download: %w", err)
	}
	return sum.Sum32(), nil
}

// checksum returns a checksum that takes little CPU.
func checksum() interface {
	io.Writer
	Sum32() uint32
} {
	return crc32.New(crc32.MakeTable(crc32.Castagnoli))
}

func videoHeader() string { return "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" }

// video is a file that is generated while it is read: a header by which the server knows its type, then pseudo-random numbers, so
// that a part in a wrong place changes the checksum.
type video struct {
	left  int64
	seed  uint64
	block []byte // what is still to be read of whole
	sum   uint32
	table *crc32.Table
	whole [1 << 16]byte
}

func newVideo(size int64, seed uint64) *video {
	v := &video{left: size, seed: seed, table: crc32.MakeTable(crc32.Castagnoli)}
	v.block = []byte(videoHeader())
	return v
}

// Read implements io.Reader.
func (v *video) Read(p []byte) (n int, err error) {
	if v.left == 0 {
		return 0, io.EOF
	}
	if len(v.block) == 0 {
		for i := 0; i < len(v.whole); i += 8 {
			v.seed = v.seed*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(v.whole[i:], v.seed)
		}
		v.block = v.whole[:]
	}
	n = copy(p[:min(int64(len(p)), v.left)], v.block)
	v.block = v.block[n:]
	v.left -= int64(n)
	v.sum = crc32.Update(v.sum, v.table, p[:n])
	return n, nil
}
