package testserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"testing"
)

// S3 is a bucket that doesn't exist yet, and the way to it.
type S3 struct {
	Endpoint  string // host:port, spoken to with plain HTTP
	AccessKey string
	SecretKey string
	Bucket    string // unused so far; the code under test makes it
}

// MinIO returns a new bucket's name in a MinIO that all tests of this process share.
func MinIO(t testing.TB) S3 {
	t.Helper()
	minio := &here.minio
	minio.once.Do(func() { minio.s3, minio.err = startMinIO() })
	if minio.err != nil {
		t.Fatalf("testserver: %v", minio.err)
	}
	s3 := minio.s3
	s3.Bucket = here.name("tim-test-")
	return s3
}

func startMinIO() (S3, error) {
	binary, err := lookPath("minio")
	if err != nil {
		return S3{}, err
	}
	s3 := S3{AccessKey: "tim", SecretKey: rand.Text()}
	_, port, err := startOnFreePort(func(port int) *instance {
		return &instance{
			kind: "minio",
			// Everything stays in its folder, which is the working directory.
			argv: []string{binary, "server", "--quiet", "--address", loopback(port), "--certs-dir", "certs", "data"},
			env: []string{
				"MINIO_ROOT_USER=" + s3.AccessKey, "MINIO_ROOT_PASSWORD=" + s3.SecretKey,
				"MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=.", "PATH=" + os.Getenv("PATH"),
			},
			ready: func(ctx context.Context, pid int) error { return minioReady(ctx, pid, port) },
		}
	})
	if err != nil {
		return S3{}, err
	}
	s3.Endpoint = loopback(port)
	return s3, nil
}

// minioReady asks for the list of buckets without a signature: it is refused once the storage is initialised.
func minioReady(ctx context.Context, pid, port int) error {
	if !listens(pid, port) {
		return fmt.Errorf("it doesn't listen on port %d", port)
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for _, ask := range []struct {
		path   string
		status int
	}{
		{"/minio/health/cluster", http.StatusOK},
		{"/", http.StatusForbidden},
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(port)+ask.path, nil)
		if err != nil {
			return fmt.Errorf("minio: %w", err)
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: answerWithin}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("minio: %w", err)
		}
		_ = response.Body.Close()
		if response.StatusCode != ask.status {
			return fmt.Errorf("minio: %s answers %s", ask.path, response.Status)
		}
	}
	return nil
}
