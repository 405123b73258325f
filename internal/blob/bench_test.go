package blob

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/minio/minio-go/v7"
)

const benchSize = 64 * mib

// BenchmarkPut compares Put with a plain copy of the same bytes to the same place.
func BenchmarkPut(b *testing.B) {
	file := func(b *testing.B, sync bool) func(r io.Reader) error {
		path := filepath.Join(b.TempDir(), "plain")
		return func(r io.Reader) error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err = io.Copy(f, r); err == nil && sync {
				err = f.Sync()
			}
			return err
		}
	}
	store := func(b *testing.B, s Store) func(r io.Reader) error {
		return func(r io.Reader) error {
			_, err := s.Put(b.Context(), "video/bench", r)
			return err
		}
	}
	b.Run("Dir", func(b *testing.B) { benchPut(b, store(b, newTestDir(b, b.TempDir()))) })
	b.Run("plain file, synced", func(b *testing.B) { benchPut(b, file(b, true)) })
	b.Run("plain file", func(b *testing.B) { benchPut(b, file(b, false)) })
	b.Run("S3", func(b *testing.B) { benchPut(b, store(b, openS3(b, testOptions(b), defaultTimeouts()))) })
	b.Run("plain minio-go", func(b *testing.B) {
		s := openS3(b, testOptions(b), defaultTimeouts())
		benchPut(b, func(r io.Reader) error {
			_, err := s.core.Client.PutObject(b.Context(), s.bucket, "bench", r, benchSize, minio.PutObjectOptions{})
			return err
		})
	})
}

func benchPut(b *testing.B, put func(io.Reader) error) {
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		if err := put(io.LimitReader(zeros{}, benchSize)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead compares reading a whole file through the store with reading it directly.
func BenchmarkRead(b *testing.B) {
	folder := b.TempDir()
	d, s := newTestDir(b, folder), openS3(b, testOptions(b), defaultTimeouts())
	for _, store := range []Store{d, s} {
		put(b, store, "video/bench", make([]byte, benchSize))
	}
	store := func(s Store) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return s.Open(b.Context(), "video/bench") }
	}
	b.Run("Dir", func(b *testing.B) { benchRead(b, store(d)) })
	b.Run("plain file", func(b *testing.B) {
		benchRead(b, func() (io.ReadCloser, error) { return os.Open(filepath.Join(folder, "video/bench")) })
	})
	b.Run("S3", func(b *testing.B) { benchRead(b, store(s)) })
	b.Run("plain minio-go", func(b *testing.B) {
		benchRead(b, func() (io.ReadCloser, error) {
			return s.core.Client.GetObject(b.Context(), s.bucket, "video/bench", minio.GetObjectOptions{})
		})
	})
}

func benchRead(b *testing.B, open func() (io.ReadCloser, error)) {
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		r, err := open()
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil || n != benchSize {
			b.Fatal(n, err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPutMemory reports by how much the upload of 500 MB raises the peak of the process's resident memory.
func BenchmarkPutMemory(b *testing.B) {
	const size = 500_000_000
	stores := map[string]func(*testing.B) Store{
		"Dir": func(b *testing.B) Store { return newTestDir(b, b.TempDir()) },
		"S3":  func(b *testing.B) Store { return openS3(b, testOptions(b), defaultTimeouts()) },
	}
	for name, open := range stores {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			put(b, s, "video/warm", make([]byte, 100))
			b.SetBytes(size)
			for b.Loop() {
				if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // resets the peak
					b.Fatal(err)
				}
				before := memory(b, "VmHWM:")
				if _, err := s.Put(b.Context(), "video/bench", io.LimitReader(zeros{}, size)); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(memory(b, "VmHWM:")-before)/1024, "MiB-peak")
			}
		})
	}
}

// memory returns a line of /proc/self/status, in KiB.
func memory(b *testing.B, name string) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	fields := bytes.Fields(status[bytes.Index(status, []byte(name))+len(name):])
	kib, err := strconv.Atoi(string(fields[0]))
	if err != nil {
		b.Fatal(err)
	}
	return kib
}
