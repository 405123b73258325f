package blob

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPlainRange(t *testing.T) {
	t.Parallel()
	const size, behind = 100, "bytes=100-"
	huge := strings.Repeat("9", 400)
	for asked, want := range map[string]string{
		"bytes=0-1": "bytes=0-1", "Bytes=0-1": "bytes=0-1", "BYTES=5-": "bytes=5-99", "bytes=-5": "bytes=95-99", "bytes=-100": "bytes=0-99",
		"bytes=-101": "bytes=0-99", "bytes=-" + huge: "bytes=0-99", "bytes=0-" + huge: "bytes=0-99", "bytes=" + huge + "-": behind,
		"bytes=" + huge + "-" + huge: behind, "bytes=99-99": "bytes=99-99", "bytes=100-100": behind, "bytes=99-100": "bytes=99-99",
		"bytes=-0": behind, "bytes=-0,-0": behind, "bytes=-0, 1-2": "bytes=1-2", "bytes=-00": behind, "bytes=007-0008": "bytes=7-8",
		"bytes=0-0,2-3": "bytes=0-0,2-3", "bytes= 0-0 ,\t2-3 ,": "bytes=0-0,2-3", "bytes=,,0-0,,": "bytes=0-0", "bytes=0-9,500-": "bytes=0-9",
		"bytes =0-1": "bytes=0-1", " bytes=0-1": "bytes=0-1",
		"": "", "items=0-1": "", "byte=0-1": "", "seconds=1-2": "", "=0-1": "", "bytes-unit=0-1": "", "bytes,items=0-1": "", "x": "",
		"bytes=5-4": behind, "bytes=a-b": behind, "bytes": behind, "bytes=": behind, "bytes=,": behind, "bytes=-": behind, "bytes=5": behind,
		"bytes=1-2-3": behind, "bytes=0 - 1": behind, "bytes=+1-2": behind, "bytes=--1": behind, "bytes=0x1-2": behind, "bytes=1-2;3-4": behind,
		"bytes=0-1,x": behind, "bytes=٣-٤": behind, "bytes==0-1": behind,
		"bytes=" + strings.Repeat("1-1,", maxRanges-1) + "2-2": "bytes=" + strings.Repeat("1-1,", maxRanges-1) + "2-2",
		"bytes=" + strings.Repeat("1-1,", maxRanges) + "2-2":   "",
	} {
		if got := plainRange([]string{asked}, size); got != want {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
	for _, lines := range [][]string{nil, {"bytes=0-1", "bytes=2-3"}, {"bytes=0-1", ""}} {
		if got := plainRange(lines, size); got != "" {
			t.Errorf("%q: %q", lines, got)
		}
	}
	for _, asked := range []string{"bytes=0-", "bytes=-5", "bytes=-0", "bytes=0-0", "x"} {
		if got := plainRange([]string{asked}, 0); got != "" {
			t.Errorf("%q of an empty file: %q", asked, got)
		}
	}
}

// Whatever is asked, the answer is the whole file, parts of it, or 416, and what it says about the parts is true.
func FuzzRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-1", "bytes=-0", "Bytes=1-,-2", "items=0-1", "bytes=99999999999999999999-", "bytes=3-2", "bytes= 1-1 , 2-2"} {
		f.Add(seed, uint8(10))
	}
	f.Fuzz(func(t *testing.T, asked string, length uint8) {
		content := string(noise("range", int(length)))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Range"] = []string{asked}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "video/mp4")
		o := &Object{ReadSeekCloser: nopCloser{strings.NewReader(content)}, Size: int64(length), ModTime: time.Unix(1, 0), ETag: `"x"`}
		if err := o.Serve(w, r); err != nil {
			t.Fatal(err)
		}
		check := func(described, body string) {
			var first, last, size int
			if _, err := fmt.Sscanf(described, "bytes %d-%d/%d", &first, &last, &size); err != nil || size != int(length) || last < first || last >= size ||
				content[first:last+1] != body {
				t.Fatalf("%q of %d bytes: %q with %d bytes", asked, length, described, len(body))
			}
		}
		media, parameters, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
		switch {
		case w.Code == http.StatusOK && w.Body.String() == content:
		case w.Code == http.StatusRequestedRangeNotSatisfiable && length > 0 && w.Header().Get("Content-Range") == fmt.Sprintf("bytes */%d", length):
		case w.Code == http.StatusPartialContent && media == "multipart/byteranges":
			parts := multipart.NewReader(w.Body, parameters["boundary"])
			for n := 0; ; n++ {
				part, err := parts.NextPart()
				if err != nil {
					if n == 0 || n > maxRanges {
						t.Fatalf("%q: %d parts", asked, n)
					}
					break
				}
				body, _ := io.ReadAll(part)
				check(part.Header.Get("Content-Range"), string(body))
			}
		case w.Code == http.StatusPartialContent:
			check(w.Header().Get("Content-Range"), w.Body.String())
		default:
			t.Fatalf("%q of %d bytes: %d %v", asked, length, w.Code, w.Header())
		}
	})
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
