package app_test

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// fileKind has the routes and answers of a kind of file.
type fileKind struct {
	upload, download, extension string
	zh, en                      string // for a file of another type
}

func pictureKind() fileKind {
	return fileKind{"/uploadchatpic", "/downloadchatpic", "jpg", "上传图片类型jpg/png/bmp", "the picture must be jpg, png or bmp"}
}

func audioKind() fileKind {
	return fileKind{"/uploadmp3", "/downloadmp3", "mp3", "上传文件类型mp3", "the file must be mp3"}
}

func videoKind() fileKind {
	return fileKind{"/uploadmp4", "/downloadmp4", "mp4", "上传文件类型mp4", "the file must be mp4"}
}

func avatarKind() fileKind {
	return fileKind{upload: "/uploadheadpic", zh: pictureKind().zh, en: pictureKind().en}
}

// storedName matches the names of stored files in the contract.
var storedName = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}:\d{2}:\d{2}:\d{2}-[A-Za-z0-9]{22,}$`)

func TestUploads(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "up.a")
		for name, tt := range map[string]struct {
			kind fileKind
			data []byte
		}{
			"jpg":             {pictureKind(), jpgBytes(t)},
			"png":             {pictureKind(), pngBytes(t)},
			"bmp":             {pictureKind(), bmpBytes()},
			"mp3":             {audioKind(), mpegFrames(20)},
			"mp3 with ID3":    {audioKind(), taggedMP3()},
			"mp4 isom":        {videoKind(), mp4Bytes("isom", 1000)},
			"mp4 mp42":        {videoKind(), mp4Bytes("mp42", 1000)},
			"mp4 in parts":    {videoKind(), mp4Bytes("isom", 11<<20)}, // S3 gets it in more than one part
			"larger than one": {pictureKind(), append(jpgBytes(t), make([]byte, 200_000)...)},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s.roundTrip(t, token, tt.kind, tt.data)
			})
		}
	}, "--timezone=Asia/Shanghai")
}

// roundTrip uploads a file under a wrong name and type, and downloads the same bytes.
func (s *site) roundTrip(t *testing.T, token string, kind fileKind, data []byte) {
	t.Helper()
	up := s.do(t, ask{path: kind.upload, token: token, form: liar(data, "../../etc/passwd.html", "text/html")})
	if up.status != http.StatusOK || !storedName.MatchString(up.body) || !strings.HasPrefix(up.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("upload: %d %s %s", up.status, up.header.Get("Content-Type"), up.body)
	}
	zone, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		t.Fatal(err)
	}
	made, err := time.ParseInLocation("2006-01-02:15:04:05", up.body[:19], zone)
	if age := time.Since(made); err != nil || age < -time.Second || age > time.Minute {
		t.Errorf("the name %s is not of now: %v %v", up.body, age, err)
	}
	if again := s.do(t, ask{path: kind.upload, token: token, form: fileForm(data)}); again.body == up.body {
		t.Errorf("two uploads are both called %s", up.body)
	}
	got := s.do(t, ask{path: query(kind.download, "filename", up.body), token: token})
	if got.status != http.StatusOK || got.body != string(data) {
		t.Fatalf("download: %d, %d bytes, want %d", got.status, len(got.body), len(data))
	}
	disposition, parameters, err := mime.ParseMediaType(got.header.Get("Content-Disposition"))
	if err != nil || disposition != "attachment" || parameters["filename"] != up.body+"."+kind.extension {
		t.Errorf("Content-Disposition %q", got.header.Get("Content-Disposition"))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/force-download", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes", "Content-Length": strconv.Itoa(len(data)),
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	// A name is valid only for its own kind.
	for _, other := range []fileKind{pictureKind(), audioKind(), videoKind()} {
		if other.download != kind.download {
			s.refusedText(t, ask{path: query(other.download, "filename", up.body), token: token}, noFile())
		}
	}
}

func noFile() want {
	return want{http.StatusNotFound, fault.UnknownFile, "下载失败", "download failed: no such file"}
}

// The content decides the type, whatever the name and the header say.
func TestWrongTypes(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded)
	token := s.enter(t, "wt.a")
	const html, svg = "<!DOCTYPE html><script>alert(1)</script>", `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`
	files := map[string][]byte{
		"html": []byte(html), "svg": []byte(svg), "gif": gifBytes(t), "text": []byte("hello"), "nothing": {}, "a byte": {0xff},
		"gif with html": append(gifBytes(t), html...), "zip": []byte("PK\x03\x04aaaaaaaaaaaaaaaaaaaaaaaaaa"), "webp": []byte("RIFF\x24\x00\x00\x00WEBPVP8 aaaa"),
		"ogg": []byte("OggS\x00\x02aaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01vorbis"), "wav": []byte("RIFF\x24\x00\x00\x00WAVEfmt aaaa"), "pdf": []byte("%PDF-1.7"),
		"html before jpg": append([]byte(html), jpgBytes(t)...), "zeros": make([]byte, 5000),
	}
	good := map[string][]byte{"jpg": jpgBytes(t), "mp3": taggedMP3(), "mp4": mp4Bytes("isom", 100)}
	takes := map[string]string{"/uploadheadpic": "jpg", "/uploadchatpic": "jpg", "/uploadmp3": "mp3", "/uploadmp4": "mp4"}
	lies := map[string][2]string{
		"/uploadheadpic": {"a.jpg", "image/jpeg"}, "/uploadchatpic": {"a.png", "image/png"}, "/uploadmp3": {"a.mp3", "audio/mpeg"}, "/uploadmp4": {"a.mp4", "video/mp4"},
	}
	defer s.noFiles(t)
	for _, kind := range []fileKind{avatarKind(), pictureKind(), audioKind(), videoKind()} {
		wrong := maps.Clone(files)
		for name, data := range good {
			if takes[kind.upload] != name {
				wrong[name] = data
			}
		}
		for name, data := range wrong {
			t.Run(kind.upload[1:]+" "+name, func(t *testing.T) {
				f := liar(data, lies[kind.upload][0], lies[kind.upload][1]).around(nil, []part{field("username", "wt.a")})
				s.refusedText(t, ask{path: kind.upload, token: token, form: f},
					want{http.StatusUnsupportedMediaType, fault.UnsupportedFileType, kind.zh, kind.en})
			})
		}
	}
}

// Bodies that aren't forms, or forms with mistakes.
func TestMalformedUploads(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "mu.a")
		jpg := fileForm(jpgBytes(t))
		whole, kind := jpg.encode(t)
		text, err := io.ReadAll(whole)
		if err != nil {
			t.Fatal(err)
		}
		many := make([]part, 20)
		for i := range many {
			many[i] = field("f"+strconv.Itoa(i), "x")
		}
		malformed := want{http.StatusBadRequest, fault.MalformedUpload, "上传失败", "upload failed"}
		unsupported := want{http.StatusUnsupportedMediaType, fault.UnsupportedMediaType, "上传失败", "upload failed"}
		for name, tt := range map[string]struct {
			ask  ask
			want want
		}{
			"no file":           {ask{form: &form{[]part{field("username", "mu.a")}}}, malformed},
			"an empty form":     {ask{form: &form{}}, malformed},
			"another name":      {ask{form: &form{[]part{{name: "picture", filename: "a.jpg", data: jpgBytes(t)}}}}, malformed},
			"two files":         {ask{form: jpg.around(nil, jpg.parts)}, malformed},
			"two and a field":   {ask{form: jpg.around(nil, []part{field("username", "mu.a"), jpg.parts[0]})}, malformed},
			"many fields":       {ask{form: jpg.around(many, nil)}, malformed},
			"many fields after": {ask{form: jpg.around(nil, many)}, malformed},
			"a large field":     {ask{form: jpg.around([]part{field("x", strings.Repeat("x", 1<<20))}, nil)}, malformed},
			"a large one after": {ask{form: jpg.around(nil, []part{field("x", strings.Repeat("x", 1<<20))})}, malformed},
			"cut in the file":   {ask{text: string(text[:len(text)/2]), header: map[string]string{"Content-Type": kind}}, malformed},
			"cut at the end":    {ask{text: string(text[:len(text)-6]), header: map[string]string{"Content-Type": kind}}, malformed},
			"cut in a header":   {ask{text: string(text[:80]), header: map[string]string{"Content-Type": kind}}, malformed},
			"other boundary":    {ask{text: string(text), header: map[string]string{"Content-Type": "multipart/form-data; boundary=other"}}, malformed},
			"no body":           {ask{method: http.MethodPost, header: map[string]string{"Content-Type": kind}}, malformed},
			"no boundary":       {ask{text: string(text), header: map[string]string{"Content-Type": "multipart/form-data"}}, unsupported},
			"the bytes alone":   {ask{text: string(jpgBytes(t)), header: map[string]string{"Content-Type": "image/jpeg"}}, unsupported},
			"JSON":              {ask{json: `{"file":"x"}`}, unsupported},
			"no type":           {ask{text: string(text)}, unsupported},
			"urlencoded":        {ask{text: "file=x", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, unsupported},
		} {
			t.Run(name, func(t *testing.T) {
				for _, path := range []string{"/uploadchatpic", "/uploadheadpic?username=mu.a"} {
					tt.ask.path, tt.ask.token = path, token
					s.refusedText(t, tt.ask, tt.want)
				}
			})
		}
		s.noFiles(t)
	})
}

// Limits concern the file, for each kind. A file of one byte more is refused, and nothing of it stays.
func TestFileLimits(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "fl.a")
		tooLarge := want{http.StatusRequestEntityTooLarge, fault.FileTooLarge, "上传失败", "upload failed"}
		for path, tt := range map[string]struct {
			head  []byte
			limit int
		}{
			"/uploadheadpic?username=fl.a": {jpgBytes(t), 5000},
			"/uploadchatpic":               {jpgBytes(t), 6000},
			"/uploadmp3":                   {mpegFrames(3), 7000},
			"/uploadmp4":                   {mp4Bytes("isom", 10), 6 << 20}, // S3 has got a part when the upload breaks off
		} {
			at := append(bytes.Clone(tt.head), make([]byte, tt.limit-len(tt.head))...)
			s.refusedText(t, ask{path: path, token: token, form: fileForm(append(bytes.Clone(at), 0))}, tooLarge)
			s.refusedText(t, ask{path: path, token: token, form: fileForm(append(bytes.Clone(at), make([]byte, 1<<20)...))}, tooLarge)
			s.noFiles(t)
			got := s.do(t, ask{path: path, token: token, form: fileForm(at)})
			if got.status != http.StatusOK {
				t.Fatalf("%s: %d bytes: %d %s", path, len(at), got.status, got.body)
			}
			s.removeFiles(t)
		}
	}, "--limit-avatar-bytes=5000", "--limit-picture-bytes=6000", "--limit-audio-bytes=7000", "--limit-video-bytes=6291456")
}

func TestRanges(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "rg.a")
		data := mp4Bytes("isom", 10_000)
		path := query("/downloadmp4", "filename", s.do(t, ask{path: "/uploadmp4", token: token, form: fileForm(data)}).body)
		get := func(header map[string]string) answer { return s.do(t, ask{path: path, token: token, header: header}) }
		size := strconv.Itoa(len(data))
		for asked, tt := range map[string]struct{ from, to int }{
			"bytes=0-99": {0, 100}, "bytes=100-199": {100, 200}, "bytes=5000-": {5000, len(data)}, "bytes=-10": {len(data) - 10, len(data)},
			"bytes=10-999999": {10, len(data)}, "bytes=0-0": {0, 1},
		} {
			got := get(map[string]string{"Range": asked})
			described := "bytes " + strconv.Itoa(tt.from) + "-" + strconv.Itoa(tt.to-1) + "/" + size
			if got.status != http.StatusPartialContent || got.body != string(data[tt.from:tt.to]) || got.header.Get("Content-Range") != described {
				t.Errorf("%s: %d, %d bytes, %s; want %s", asked, got.status, len(got.body), got.header.Get("Content-Range"), described)
			}
			if got.header.Get("Content-Type") != "application/force-download" {
				t.Errorf("%s: Content-Type %s", asked, got.header.Get("Content-Type"))
			}
		}
		two := get(map[string]string{"Range": "bytes=0-9,100-119"})
		media, parameters, err := mime.ParseMediaType(two.header.Get("Content-Type"))
		if err != nil || two.status != http.StatusPartialContent || media != "multipart/byteranges" {
			t.Fatalf("two ranges: %v %d %s", err, two.status, two.header.Get("Content-Type"))
		}
		parts := multipart.NewReader(strings.NewReader(two.body), parameters["boundary"])
		for _, want := range []string{string(data[:10]), string(data[100:120])} {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(part); err != nil || string(got) != want {
				t.Errorf("a part: %v, %d bytes, want %d", err, len(got), len(want))
			}
		}
		for _, asked := range []string{"bytes=" + size + "-", "bytes=99999999-", "bytes=5-4", "bytes=a-b", "bytes"} {
			s.refused(t, ask{path: path, token: token, header: map[string]string{"Range": asked}},
				want{http.StatusRequestedRangeNotSatisfiable, fault.RangeNotSatisfiable, "请求范围无效", "range not satisfiable"})
		}
		outside := get(map[string]string{"Range": "bytes=99999999-"})
		if outside.header.Get("Content-Range") != "bytes */"+size || outside.header.Get("Content-Disposition") != "" {
			t.Errorf("416: %v", outside.header)
		}
		s.testConditions(t, path, token, string(data))
	})
}

func (s *site) testConditions(t *testing.T, path, token, data string) {
	t.Helper()
	first := s.do(t, ask{path: path, token: token})
	tag, modified := first.header.Get("ETag"), first.header.Get("Last-Modified")
	if tag == "" || modified == "" {
		t.Fatalf("no ETag or Last-Modified: %v", first.header)
	}
	for name, tt := range map[string]struct {
		header map[string]string
		status int
		body   string
	}{
		"the same tag":        {map[string]string{"If-None-Match": tag}, http.StatusNotModified, ""},
		"any tag":             {map[string]string{"If-None-Match": "*"}, http.StatusNotModified, ""},
		"another tag":         {map[string]string{"If-None-Match": `"x"`}, http.StatusOK, data},
		"not modified":        {map[string]string{"If-Modified-Since": modified}, http.StatusNotModified, ""},
		"match another":       {map[string]string{"If-Match": `"x"`}, http.StatusPreconditionFailed, ""},
		"a part of the same":  {map[string]string{"If-Range": tag, "Range": "bytes=0-4"}, http.StatusPartialContent, data[:5]},
		"a part of another's": {map[string]string{"If-Range": `"x"`, "Range": "bytes=0-4"}, http.StatusOK, data},
	} {
		got := s.do(t, ask{path: path, token: token, header: tt.header})
		if got.status != tt.status || got.body != tt.body {
			t.Errorf("%s: %d, %d bytes, want %d, %d bytes", name, got.status, len(got.body), tt.status, len(tt.body))
		}
	}
}
