package servers

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
)

// S3 is the address of an S3 server, and the name of a bucket that doesn't exist yet.
type S3 struct {
	Endpoint  string // host:port, spoken to with plain HTTP
	AccessKey string
	SecretKey string
	Bucket    string // the first user makes it
}

// MinIO starts a MinIO without buckets. The caller makes the one that the result names.
func (h *Home) MinIO() (S3, error) {
	binary, err := LookPath("minio")
	if err != nil {
		return S3{}, err
	}
	s3 := S3{AccessKey: "tim", SecretKey: rand.Text(), Bucket: "tim"}
	server, err := h.startOnFreePort(func(port int) *Server {
		return &Server{
			kind: "minio",
			// The working directory is its folder; all its files stay there.
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
	s3.Endpoint = server.TCPAddress
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
