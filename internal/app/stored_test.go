package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"tim/internal/apptest"
)

// bucket opens the server's bucket directly.
func (s *site) bucket(t testing.TB) *minio.Client {
	t.Helper()
	c, err := minio.New(strings.TrimPrefix(s.Settings.S3Endpoint, "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.Settings.S3AccessKey, s.Settings.S3SecretKey, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stored lists what the server's store contains, incomplete files of a folder included.
func (s *site) stored(t testing.TB) []string {
	t.Helper()
	if s.Settings.S3Endpoint == "" {
		return s.storedInFolder(t)
	}
	ctx, c := context.WithoutCancel(t.Context()), s.bucket(t)
	var names []string
	for object := range c.ListObjects(ctx, s.Settings.S3Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		names = append(names, object.Key)
	}
	return names
}

func (s *site) storedInFolder(t testing.TB) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(s.Settings.DataDir, "files"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func (s *site) noFiles(t testing.TB) {
	t.Helper()
	if names := s.stored(t); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// removeFiles empties the store.
func (s *site) removeFiles(t testing.TB) {
	t.Helper()
	for _, name := range s.stored(t) {
		var err error
		if s.Settings.S3Endpoint == "" {
			err = os.Remove(name)
		} else {
			err = s.bucket(t).RemoveObject(t.Context(), s.Settings.S3Bucket, name, minio.RemoveObjectOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plant puts a file into the store directly, as one copied from the original server.
func (s *site) plant(t testing.TB, key string, data []byte) {
	t.Helper()
	if s.Settings.S3Endpoint == "" {
		if err := os.WriteFile(filepath.Join(s.Settings.DataDir, "files", key), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	_, err := s.bucket(t).PutObject(t.Context(), s.Settings.S3Bucket, key, strings.NewReader(string(data)), int64(len(data)), minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// An upload whose connection breaks leaves nothing, neither at its beginning nor after S3 has got parts.
func TestBrokenOffUploads(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode)
			if mode == apptest.Servers {
				watched := watchUploads(t, settings.S3Endpoint)
				defer func() {
					if begun, aborted := watched.begun.Load(), watched.aborted.Load(); begun == 0 || begun != aborted {
						t.Errorf("S3 began %d uploads in parts, and aborted %d", begun, aborted)
					}
				}()
				settings.S3Endpoint = watched.URL
			}
			testBrokenOff(t, serve(t, settings))
		})
	}
}

func testBrokenOff(t *testing.T, s *site) {
	token := s.enter(t, "bo.a")
	body, kind := fileForm(mp4Bytes("isom", 12<<20)).encode(t)
	whole, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, sent := range []int{1000, 3 << 20, 11 << 20, len(whole) - 4} { // in the header, in S3's first part, in a later one, at the end
		s.cutUpload(t, token, kind, whole[:sent], len(whole))
	}
	eventually(t, "every broken upload was noticed", func() bool {
		return strings.Count(s.Log.String(), `"path":"/uploadmp4"`) == 4
	})
	s.noFiles(t)
}

// watcher is a proxy before S3 that counts multipart uploads: MinIO lists unfinished ones only to a client that knows their
// key.
type watcher struct {
	*httptest.Server
	begun, aborted atomic.Int32
}

func watchUploads(t testing.TB, endpoint string) *watcher {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host // the Host header stays, since it is signed
	}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		switch parameters := r.URL.Query(); {
		case r.Method == http.MethodPost && parameters.Has("uploads"):
			w.begun.Add(1)
		case r.Method == http.MethodDelete && parameters.Has("uploadId"):
			w.aborted.Add(1)
		}
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// cutUpload sends the beginning of a request and cuts the connection.
func (s *site) cutUpload(t *testing.T, token, kind string, part []byte, size int) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /uploadmp4 HTTP/1.1\r\nHost: x\r\ntoken: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", token, kind, size, part)
	if err = errors.Join(err, conn.Close()); err != nil {
		t.Error(err)
	}
}

// Names of the original server's files, and names that are never valid.
func TestDownloadNames(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "dn.a")
		s.plant(t, "picture/2022-02-26:01:34:05", jpgBytes(t))
		s.plant(t, "audio/2022-02-26:01:34:05", taggedMP3())
		s.plant(t, "picture/secret", []byte("not by this name"))
		s.plant(t, "avatar/2022-02-26:01:34:06", jpgBytes(t))
		for path, data := range map[string][]byte{"/downloadchatpic": jpgBytes(t), "/downloadmp3": taggedMP3()} {
			got := s.do(t, ask{path: query(path, "filename", "2022-02-26:01:34:05"), token: token})
			if got.status != http.StatusOK || got.body != string(data) || !strings.Contains(got.header.Get("Content-Disposition"), `"2022-02-26:01:34:05.`) {
				t.Errorf("%s: %d, %d bytes, %v", path, got.status, len(got.body), got.header)
			}
		}
		for _, name := range []string{
			"", "x", "secret", "2022-02-26:01:34:06", "../jwt.key", "../../tim.db", "..", ".", "/", "/etc/passwd", "..\\..\\x", "%00", "a\x00b", "2022-02-26:01:34:05\x00",
			"2022-02-26:01:34:05\n", "2022-02-26:01:34:05/", "2022-02-26:01:34:05/../2022-02-26:01:34:05", "./2022-02-26:01:34:05", "../picture/2022-02-26:01:34:05",
			".tmp", "2022-02-26:01:34:05.jpg", "2022-02-26:01:34:05 ", " 2022-02-26:01:34:05", "２０２２-02-26:01:34:05", strings.Repeat("a", 300), strings.Repeat("长", 3000),
			"2022-02-26:01:34:05-" + strings.Repeat("a", 22), "2022-02-26:01:34:05-" + strings.Repeat("a", 5000), "2022-02-26:01:34:05\"; x=\"", "2022-02-26:01:34:05\r\nX: y",
		} {
			for _, path := range []string{"/downloadchatpic", "/downloadmp3", "/downloadmp4"} {
				if path != "/downloadmp4" && name == "2022-02-26:01:34:05" {
					continue
				}
				s.refusedText(t, ask{path: query(path, "filename", name), token: token}, noFile())
			}
		}
		s.refusedText(t, ask{path: query("/downloadmp4", "filename", "2022-02-26:01:34:05"), token: token}, noFile())
	})
}
