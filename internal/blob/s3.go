package blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options says which bucket to use. All fields but Region and Logger are required.
type S3Options struct {
	// Endpoint is http://host:port, https://host:port, or host:port, which means https.
	Endpoint string
	// AccessKey and SecretKey are the credentials. They must permit listing the bucket (otherwise S3 answers a missing object
	// as if it were forbidden), reading, writing and deleting its objects, and listing and aborting multipart uploads. To
	// create a missing bucket they must permit that too.
	AccessKey, SecretKey string
	// Bucket holds the files. It may hold other objects: this package touches only keys with its prefixes.
	Bucket string
	// Region is looked up on the server if it is empty.
	Region string
	// Logger gets a line when abandoned uploads can't be removed. nil means slog.Default().
	Logger *slog.Logger
}

const (
	maxAttempts = 3

	// An incomplete upload of this age will never be completed.
	abandonedAfter = 24 * time.Hour
	sweepEvery     = 12 * time.Hour
)

// S3 is a Store in an S3 bucket. A running Put holds at most 5 MiB of the file in memory.
type S3 struct {
	core      *minio.Core
	transport *http.Transport
	endpoint  string
	bucket    string
	log       *slog.Logger
	timeouts  timeouts

	stopSweeping context.CancelFunc
	swept        chan struct{} // closed when the sweeper has ended
}

// NewS3 opens the store and creates the bucket if need be. It returns within 20 seconds; its error names endpoint and bucket.
// Until Close a goroutine removes, once in a while, uploads with this package's prefixes that were begun a day ago and never
// completed.
func NewS3(ctx context.Context, opts S3Options) (*S3, error) {
	return newS3(ctx, opts, defaultTimeouts())
}

func newS3(ctx context.Context, opts S3Options, t timeouts) (*S3, error) {
	s, err := connectS3(opts, t)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, t.setup)
	defer cancel()
	if err := s.ensureBucket(ctx, opts.Region); err != nil {
		s.transport.CloseIdleConnections()
		return nil, s.unusable(err)
	}
	sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopSweeping = stop
	go s.sweepUntilDone(sweeping)
	return s, nil
}

// connectS3 makes the client. It sends nothing.
func connectS3(opts S3Options, t timeouts) (*S3, error) {
	endpoint, err := parseEndpoint(opts.Endpoint)
	if err != nil {
		return nil, err
	}
	if opts.AccessKey == "" || opts.SecretKey == "" || opts.Bucket == "" {
		return nil, errors.New("S3 needs an access key, a secret key and the name of a bucket")
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	transport := newTransport(t)
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:      credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""),
		Secure:     endpoint.Scheme == "https",
		Transport:  transport,
		Region:     opts.Region,
		MaxRetries: maxAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %q: %w", opts.Endpoint, err)
	}
	return &S3{
		core: core, transport: transport, endpoint: endpoint.String(), bucket: opts.Bucket, log: log, timeouts: t,
		swept: make(chan struct{}),
	}, nil
}

// parseEndpoint accepts http://host[:port], https://host[:port] and host[:port].
func parseEndpoint(text string) (*url.URL, error) {
	withScheme := text
	if !strings.Contains(text, "://") {
		withScheme = "https://" + text
	}
	endpoint, err := url.Parse(withScheme)
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint: %w", err)
	}
	bare := url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host}
	endpoint.Path = strings.TrimSuffix(endpoint.Path, "/")
	if (bare.Scheme != "http" && bare.Scheme != "https") || bare.Host == "" || *endpoint != bare {
		return nil, fmt.Errorf("S3 endpoint %q: want http://host:port or https://host:port, and nothing more", endpoint.Redacted())
	}
	return &bare, nil
}

// ensureBucket creates the bucket unless it exists.
func (s *S3) ensureBucket(ctx context.Context, region string) error {
	exists, err := s.bucketExists(ctx)
	if err != nil || exists {
		return err
	}
	err = s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: region})
	if err == nil {
		return nil
	}
	// Another node may have created it meanwhile.
	if exists, again := s.bucketExists(ctx); again == nil && exists {
		return nil
	}
	return fmt.Errorf("make the bucket: %w", err)
}

func (s *S3) bucketExists(ctx context.Context) (bool, error) {
	exists, err := s.core.BucketExists(ctx, s.bucket)
	if answerIn(err).StatusCode != http.StatusForbidden {
		return exists, err
	}
	// The answer to a HEAD has no body that says why; the answer to this request has one.
	next, stop := iter.Pull(s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: Avatar + "/", MaxKeys: 1}))
	defer stop()
	object, _ := next()
	return object.Err == nil, object.Err
}

// unusable wraps an error with the bucket and its endpoint.
func (s *S3) unusable(err error) error {
	if code := answerIn(err).Code; code != "" {
		return fmt.Errorf("blob: S3 bucket %s at %s: %s: %w", s.bucket, s.endpoint, code, err)
	}
	return fmt.Errorf("blob: S3 bucket %s at %s: %w", s.bucket, s.endpoint, err)
}

// Ping implements Store. It asks for the bucket, for five seconds at most.
func (s *S3) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.ping)
	defer cancel()
	exists, err := s.bucketExists(ctx)
	if err == nil && !exists {
		err = errors.New("it does not exist any more")
	}
	if err != nil {
		return s.unusable(err)
	}
	return nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	err := s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	if err != nil && answerIn(err).Code != minio.NoSuchKey {
		return failed("delete", key, err)
	}
	return nil
}

// Close implements Store. Open Objects remain readable.
func (s *S3) Close() error {
	s.stopSweeping()
	<-s.swept
	s.transport.CloseIdleConnections()
	return nil
}

// answerIn returns the server's answer in err, or a zero one if err is of another kind.
func answerIn(err error) minio.ErrorResponse {
	var answer minio.ErrorResponse
	errors.As(err, &answer)
	return answer
}

// sweepUntilDone is the sweeper's goroutine: it searches at once and then at intervals.
func (s *S3) sweepUntilDone(ctx context.Context) {
	defer close(s.swept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.sweep(ctx, time.Now().Add(-abandonedAfter)); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "abandoned uploads could not be removed", "error", s.unusable(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep aborts the multipart uploads with our prefixes that were begun before a time. It lists the whole bucket, because MinIO
// takes a listing's prefix for an object's full name.
func (s *S3) sweep(ctx context.Context, before time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.sweep)
	defer cancel()
	var errs []error
	keyMarker, idMarker := "", ""
	for {
		page, err := s.core.ListMultipartUploads(ctx, s.bucket, "", keyMarker, idMarker, "", 0)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, upload := range page.Uploads {
			if validKey(upload.Key) && upload.Initiated.Before(before) {
				errs = append(errs, s.abort(ctx, upload.Key, upload.UploadID))
			}
		}
		if !page.IsTruncated || (page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker) {
			return errors.Join(errs...)
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
