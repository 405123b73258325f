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
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Options says which bucket to use. Endpoint, keys and Bucket are required.
type S3Options struct {
	// Endpoint is http://host:port, https://host:port, or host:port, which means https.
	Endpoint string
	// AccessKey and SecretKey are the credentials. They must permit listing the bucket (otherwise S3 answers a missing object
	// as if it were forbidden), reading, writing and deleting its objects, and listing and aborting multipart uploads. To
	// create a missing bucket they must permit that too.
	AccessKey, SecretKey string
	// Bucket holds the files. It may hold other objects: this package touches only keys with its prefixes.
	Bucket string
	// Prefix is a folder in the bucket, without slashes at its ends; see CheckPrefix. "" is the bucket's top.
	Prefix string
	// Region is looked up on the server if it is empty.
	Region string
	// Style says how the bucket is addressed: StylePath, StyleVirtual, or StyleAuto.
	Style string
	// Logger gets a line when abandoned uploads can't be removed. nil means slog.Default().
	Logger *slog.Logger
}

const (
	maxAttempts = 3

	// An incomplete upload of this age will never be completed.
	abandonedAfter = 24 * time.Hour
	sweepEvery     = 12 * time.Hour
)

// How a bucket is addressed.
const (
	StyleAuto    = "auto"    // StyleVirtual where the endpoint is Amazon's, Google's or Aliyun's; else StylePath. Also "".
	StylePath    = "path"    // https://host/bucket/key
	StyleVirtual = "virtual" // https://bucket.host/key
)

// maxPrefix is the longest prefix in bytes. S3 takes keys of 1,024 bytes.
const maxPrefix = 512

// CheckPrefix returns an error unless a prefix can be a folder in a bucket: parts between single slashes, none at the ends.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsFunc(part, badInName) {
			return fmt.Errorf("%q must be like chat/files, without a slash at either end", prefix)
		}
	}
	if len(prefix) > maxPrefix || !utf8.ValidString(prefix) {
		return fmt.Errorf("%q must be UTF-8 and have at most %d bytes", prefix, maxPrefix)
	}
	return nil
}

// S3 is a Store in an S3 bucket. A running Put holds at most 5 MiB of the file in memory.
type S3 struct {
	core      *minio.Core
	transport *http.Transport
	endpoint  string
	bucket    string
	prefix    string // of objects' names before the key: "" or FOLDER/
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
	if err := CheckPrefix(opts.Prefix); err != nil {
		return nil, fmt.Errorf("S3 prefix: %w", err)
	}
	style, known := map[string]minio.BucketLookupType{
		"": minio.BucketLookupAuto, StyleAuto: minio.BucketLookupAuto, StylePath: minio.BucketLookupPath, StyleVirtual: minio.BucketLookupDNS,
	}[opts.Style]
	if !known {
		return nil, fmt.Errorf("S3 style %q: want auto, path or virtual", opts.Style)
	}
	prefix := opts.Prefix
	if prefix != "" {
		prefix += "/"
	}
	log := opts.Logger
	if log == nil {
		log = slog.Default()
	}
	transport := newTransport(t)
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		BucketLookup: style,
		Creds:        credentials.NewStaticV4(opts.AccessKey, opts.SecretKey, ""),
		Secure:       endpoint.Scheme == "https",
		Transport:    transport,
		Region:       opts.Region,
		MaxRetries:   maxAttempts,
	})
	if err != nil {
		return nil, fmt.Errorf("S3 endpoint %q: %w", opts.Endpoint, err)
	}
	return &S3{
		core: core, transport: transport, endpoint: endpoint.String(), bucket: opts.Bucket, prefix: prefix, log: log, timeouts: t,
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
	next, stop := iter.Pull(s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + Avatar + "/", MaxKeys: 1}))
	defer stop()
	object, _ := next()
	return object.Err == nil, object.Err
}

// unusable wraps an error with the bucket and its endpoint.
func (s *S3) unusable(err error) error {
	if answer := answerIn(err); answer.Code != "" {
		return fmt.Errorf("blob: S3 bucket %s at %s: %s%s: %w", s.bucket, s.endpoint, explained(answer), answer.Code, err)
	}
	return fmt.Errorf("blob: S3 bucket %s at %s: %w", s.bucket, s.endpoint, err)
}

// explained says what a refusal means, for those that a wrong setting causes.
func explained(answer minio.ErrorResponse) string {
	switch answer.Code {
	case "InvalidAccessKeyId":
		return "the access key is unknown: "
	case "SignatureDoesNotMatch":
		return "the secret key is wrong: "
	case "AccessDenied":
		return "the credentials don't permit this: "
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegion", "InvalidLocationConstraint":
		if answer.Region != "" {
			return fmt.Sprintf("the region is wrong, the bucket's is %s: ", answer.Region)
		}
		return "the region is wrong: "
	case "NoSuchBucket":
		return "there is no such bucket: "
	}
	return ""
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
	err := s.core.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err != nil && answerIn(err).Code != minio.NoSuchKey {
		return failed("delete", key, err)
	}
	return nil
}

// Room implements Store: S3 doesn't tell.
func (s *S3) Room() (Room, bool) { return Room{}, false }

// full wraps ErrFull around an error by which a server says that it has no space, or the bucket no quota left.
func full(err error) error {
	switch answer := answerIn(err); answer.Code {
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "QuotaExceeded":
		return fmt.Errorf("%w: %w", ErrFull, err)
	default:
		if answer.StatusCode == http.StatusInsufficientStorage {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		return err
	}
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
			key, ours := strings.CutPrefix(upload.Key, s.prefix)
			if ours && validKey(key) && upload.Initiated.Before(before) {
				errs = append(errs, s.abort(ctx, key, upload.UploadID))
			}
		}
		if !page.IsTruncated || (page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker) {
			return errors.Join(errs...)
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
