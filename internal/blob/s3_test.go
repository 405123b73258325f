package blob

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"tim/internal/testserver"
)

func newS3Subject(t testing.TB) subject {
	return s3SubjectIn(t, "")
}

// s3SubjectIn is a store in a folder of a bucket.
func s3SubjectIn(t testing.TB, folder string) subject {
	opts := testOptions(t)
	opts.Prefix, opts.Style = folder, StylePath
	s := openS3(t, opts, defaultTimeouts())
	return subject{
		Store: s,
		contents: func(t testing.TB) (names []string) {
			for _, name := range objectsIn(t, s) {
				uploads := ""
				if rest, is := strings.CutPrefix(name, "upload of "); is {
					uploads, name = "upload of ", rest
				}
				key, within := strings.CutPrefix(name, s.prefix)
				if !within {
					t.Errorf("%s lies outside of the folder", name)
				}
				names = append(names, uploads+key)
			}
			return names
		},
		plant: func(t testing.TB, key string, content []byte) {
			_, err := s.core.Client.PutObject(t.Context(), s.bucket, s.prefix+key, bytes.NewReader(content), -1, minio.PutObjectOptions{})
			if err != nil {
				t.Fatal(err)
			}
		},
	}
}

// testOptions names a bucket that doesn't exist yet.
func testOptions(t testing.TB) S3Options {
	t.Helper()
	s3 := testserver.MinIO(t)
	return S3Options{Endpoint: "http://" + s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket}
}

func openS3(t testing.TB, opts S3Options, limits timeouts) *S3 {
	t.Helper()
	s, err := newS3(t.Context(), opts, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// objectsIn lists the bucket: its objects, and "upload of" those that are being uploaded.
func objectsIn(t testing.TB, s *S3) (names []string) {
	t.Helper()
	for object := range s.core.ListObjectsIter(t.Context(), s.bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		names = append(names, object.Key)
	}
	uploads, err := s.core.ListMultipartUploads(t.Context(), s.bucket, "", "", "", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range uploads.Uploads {
		names = append(names, "upload of "+upload.Key)
	}
	return names
}

// The whole suite, with the original's names in it, holds in a folder of a bucket, too.
func TestS3InAFolder(t *testing.T) {
	t.Parallel()
	testConformance(t, func(t testing.TB) subject { return s3SubjectIn(t, "chat/聊天 files") })
}

// A sweep aborts the uploads in its own folder alone.
func TestS3SweepInAFolder(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	outside := openS3(t, opts, defaultTimeouts())
	opts.Prefix = "a/b"
	inside := openS3(t, opts, defaultTimeouts())
	for _, s := range []*S3{outside, inside} {
		if _, err := s.begin(t.Context(), Video+"/x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := inside.sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"upload of " + Video + "/x"}, objectsIn(t, outside)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestCheckPrefix(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "a", "a/b", "chat/files-1", "聊天"} {
		if err := CheckPrefix(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"/", "/a", "a/", "a//b", "..", "a/../b", "a/.", "a\\b", "a\x00", "\xff", strings.Repeat("a", 600)} {
		if CheckPrefix(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestFullStoreIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		answer minio.ErrorResponse
		full   bool
	}{
		{minio.ErrorResponse{Code: "XMinioStorageFull", StatusCode: 507}, true},
		{minio.ErrorResponse{Code: "XMinioAdminBucketQuotaExceeded", StatusCode: 400}, true},
		{minio.ErrorResponse{Code: "Other", StatusCode: 507}, true},
		{minio.ErrorResponse{Code: "SlowDown", StatusCode: 503}, false},
		{minio.ErrorResponse{}, false},
	} {
		if got := errors.Is(full(tt.answer), ErrFull); got != tt.full {
			t.Errorf("%+v: full is %t", tt.answer, got)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://minio:9000":      "http://minio:9000",
		"https://s3.example.org": "https://s3.example.org",
		"HTTPS://s3.example.org": "https://s3.example.org",
		"http://127.0.0.1:9000/": "http://127.0.0.1:9000",
		"http://[::1]:9000":      "http://[::1]:9000",
		"minio:9000":             "https://minio:9000",
		"localhost":              "https://localhost",
		"":                       "", "http://": "", "ftp://minio": "", "http://minio:9000/path": "", "minio:9000/path": "",
		"http://user:secret@minio": "", "http://minio?x=y": "", "http://minio:port": "", "http://minio/#x": "",
	} {
		endpoint, err := parseEndpoint(text)
		got := ""
		if err == nil {
			got = endpoint.String()
		}
		if got != want {
			t.Errorf("parseEndpoint(%q) = %q, %v; want %q", text, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("parseEndpoint tells the secret: %v", err)
		}
	}
}

func TestNewS3(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	g, _ := openGate(t, opts, defaultTimeouts())
	opts.Endpoint = g.URL
	openS3(t, opts, defaultTimeouts())
	if slices.Contains(g.requests(), http.MethodPut) {
		t.Error("a bucket that exists is made again")
	}
	opts.Region = "us-east-1"
	openS3(t, opts, defaultTimeouts())
}

// TestNewS3Together: several nodes start at once without a bucket.
func TestNewS3Together(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := NewS3(t.Context(), opts)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestNewS3Unusable(t *testing.T) {
	t.Parallel()
	good := testOptions(t)
	openS3(t, good, defaultTimeouts())
	silent := silentListener(t)
	for _, test := range []struct {
		name   string
		change func(*S3Options)
		want   []string
	}{
		{"wrong secret", func(o *S3Options) { o.SecretKey = "wrong-secret" }, []string{good.Endpoint, good.Bucket, "the secret key is wrong", "SignatureDoesNotMatch"}},
		{"wrong secret, region", func(o *S3Options) { o.SecretKey, o.Region = "wrong-secret", "us-east-1" }, []string{good.Endpoint, "SignatureDoesNotMatch"}},
		{"wrong access key", func(o *S3Options) { o.AccessKey = "nobody" }, []string{"the access key is unknown", "InvalidAccessKeyId"}},
		{"bad folder", func(o *S3Options) { o.Prefix = "/a" }, []string{"/a", "without a slash"}},
		{"bad style", func(o *S3Options) { o.Style = "other" }, []string{"other", "virtual"}},
		{"nobody listens", func(o *S3Options) { o.Endpoint = "http://127.0.0.1:1" }, []string{"http://127.0.0.1:1", good.Bucket, "refused"}},
		{"nobody answers", func(o *S3Options) { o.Endpoint = silent }, []string{silent, good.Bucket, ""}},
		{"TLS to plain HTTP", func(o *S3Options) { o.Endpoint = strings.TrimPrefix(o.Endpoint, "http://") }, []string{"HTTP response to HTTPS client"}},
		{"bad bucket", func(o *S3Options) { o.Bucket = "No/Bucket" }, []string{"ucket name"}},
		{"no bucket", func(o *S3Options) { o.Bucket = "" }, []string{"bucket"}},
		{"no secret", func(o *S3Options) { o.SecretKey = "" }, []string{"secret key"}},
		{"no endpoint", func(o *S3Options) { o.Endpoint = "" }, []string{"endpoint"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts := good
			test.change(&opts)
			begin := time.Now()
			_, err := newS3(t.Context(), opts, quick())
			if err == nil {
				t.Fatal("it works")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q doesn't name %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("%q tells the secret", err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// silentListener accepts connections and never answers.
func silentListener(t testing.TB) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}

func TestS3PingFails(t *testing.T) {
	t.Parallel()
	g, s := openGate(t, testOptions(t), quick())
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	g.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		beSilent(r)
		return true
	})
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), g.URL) {
		t.Errorf("Ping of a silent server: %v", err)
	}
	g.intercept(nil)
	if err := s.core.RemoveBucket(t.Context(), s.bucket); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "exist") {
		t.Errorf("Ping without the bucket: %v", err)
	}
	if object, err := s.Open(t.Context(), "avatar/x"); err == nil {
		t.Errorf("Open without the bucket: %v", object)
	}
	if _, err := s.Put(t.Context(), "avatar/x", strings.NewReader("x")); err == nil {
		t.Error("Put works without the bucket")
	}
}

// TestS3Requests: S3 gets no more requests than are needed.
func TestS3Requests(t *testing.T) {
	t.Parallel()
	g, s := openGate(t, testOptions(t), defaultTimeouts())
	content := noise("requests", partSize-1)
	address := served(t, s, content, nil)
	check := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, g.requests()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("small put", "PUT")
	response, _ := fetch(t, http.MethodGet, address)
	check("all of it, sniffed", "HEAD", "GET")
	fetch(t, http.MethodHead, address, "Range: bytes=0-")
	check("head", "HEAD", "GET") // the GET is for sniffing the type
	fetch(t, http.MethodGet, address, "If-None-Match: "+response.Header.Get("ETag"))
	check("not modified", "HEAD")
	object, err := s.Open(t.Context(), "video/served")
	if err != nil {
		t.Fatal(err)
	}
	typed := func(lines ...string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.Header.Set("Range", lines[0])
		recorder := httptest.NewRecorder()
		recorder.Header().Set("Content-Type", "video/mp4")
		if err := object.Serve(recorder, request); err != nil {
			t.Error(err)
		}
	}
	typed("bytes=1000000-1000999")
	check("one range", "HEAD", "GET bytes=1000000-")
	typed("bytes=3000000-3000009, 3000100-3000109, 4000000-4000009")
	check("near and far ranges", "GET bytes=3000000-", "GET bytes=4000000-")
	if err := object.Close(); err != nil {
		t.Error(err)
	}
	put(t, s, "video/x", noise("x", 2*partSize))
	check("put of two parts", "POST", "PUT", "PUT", "POST")
}

func TestS3Sweep(t *testing.T) {
	t.Parallel()
	s := openS3(t, testOptions(t), defaultTimeouts())
	for _, key := range []string{"video/a", "video/b", "audio/a", "foreign/a", "foreign"} {
		if _, err := s.core.NewMultipartUpload(t.Context(), s.bucket, key, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all := objectsIn(t, s)
	for _, test := range []struct {
		before time.Time
		want   []string
	}{
		{time.Now().Add(-time.Hour), all},
		{time.Now().Add(time.Hour), []string{"upload of foreign", "upload of foreign/a"}},
	} {
		if err := s.sweep(t.Context(), test.before); err != nil {
			t.Error(err)
		}
		got := objectsIn(t, s)
		slices.Sort(got)
		slices.Sort(test.want)
		if diff := cmp.Diff(test.want, got); diff != "" || len(all) != 5 {
			t.Errorf("sweep before %v (-want +got):\n%s", test.before, diff)
		}
	}
	if err := s.sweep(cancelled(t), time.Now()); err == nil {
		t.Error("a cancelled sweep says that all is well")
	}
}

// TestNewS3MayNotMake: without the right to create the missing bucket, NewS3 returns an error that says so.
func TestNewS3MayNotMake(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	g, _ := openGate(t, opts, defaultTimeouts())
	g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodPut
	})
	opts.Endpoint = g.URL
	openS3(t, opts, defaultTimeouts()) // it exists
	opts.Bucket += "-other"
	_, err := newS3(t.Context(), opts, defaultTimeouts())
	if err == nil || !strings.Contains(err.Error(), opts.Bucket) || !strings.Contains(err.Error(), "make the bucket: Access Denied") {
		t.Errorf("newS3: %v", err)
	}
}

// logged is a writer for a logger that hands its lines over.
type logged chan string

func (l logged) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestS3SweepDenied: a search that S3 denies is logged, and NewS3 succeeds.
func TestS3SweepDenied(t *testing.T) {
	t.Parallel()
	opts := testOptions(t)
	g, _ := openGate(t, opts, defaultTimeouts())
	g.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("uploads") {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.URL.Query().Has("uploads")
	})
	lines := make(logged, 1)
	opts.Endpoint, opts.Logger = g.URL, slog.New(slog.NewTextHandler(lines, nil))
	openS3(t, opts, defaultTimeouts())
	if line := <-lines; !strings.Contains(line, opts.Bucket) || !strings.Contains(line, "AccessDenied") {
		t.Errorf("logged: %s", line)
	}
}
