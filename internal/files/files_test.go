package files

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tim/internal/blob"
	"tim/internal/fault"
)

func TestTheBytesDecideTheKind(t *testing.T) {
	t.Parallel()
	html := "<!DOCTYPE html><script>alert(1)</script>"
	svg := `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`
	for _, tt := range []struct {
		name    string
		content []byte
		kind    string // picture, audio, video or none
	}{
		{"png", pngFile(t), "picture"},
		{"jpg", jpegFile(t), "picture"},
		{"bmp", bmpFile(), "picture"},
		{"gif", gifFile(t), "none"},
		{"webp", []byte("RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00"), "none"},
		{"ico", []byte("\x00\x00\x01\x00\x01\x00\x10\x10"), "none"},
		{"svg", []byte(svg), "none"},
		{"svg without a head", []byte(svg[21:]), "none"},
		{"html", []byte(html), "none"},
		{"html behind blanks", []byte(strings.Repeat(" ", 100) + html), "none"},
		{"pdf", []byte("%PDF-1.7\n"), "none"},
		{"program", []byte("\x7fELF\x02\x01\x01\x00"), "none"},
		{"zip", []byte("PK\x03\x04\x14\x00\x00\x00"), "none"},
		{"text", []byte("a text"), "none"},
		{"nothing", nil, "none"},
		{"one byte", []byte{0xff}, "none"},
		{"png's signature cut short", pngFile(t)[:7], "none"},
		{"png's name in the middle", append([]byte("x"), pngFile(t)...), "none"},
		{"mp3 with a tag", mp3File(id3), "audio"},
		{"mp3 without one", mp3File(""), "audio"},
		{"wav", []byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00"), "none"},
		{"ogg", []byte("OggS\x00\x02" + strings.Repeat("\x00", 22) + "\x01vorbis"), "none"},
		{"m4a", mp4File("M4A "), "none"},
		{"mp4 isom", mp4File("isom"), "video"},
		{"mp4 iso2", mp4File("iso2"), "video"},
		{"mp4 iso4", mp4File("iso4"), "video"},
		{"mp4 iso5", mp4File("iso5"), "video"},
		{"mp4 iso6", mp4File("iso6"), "video"},
		{"mp4 mp41", mp4File("mp41"), "video"},
		{"mp4 mp42", mp4File("mp42"), "video"},
		{"mp4 avc1", mp4File("avc1"), "video"},
		{"mp4 dash", mp4File("dash"), "video"},
		{"mp4 m4v", mp4File("M4V "), "video"},
		{"mp4 of a camera", brandsFile(28, "MSNV", "\x01\x29\x00\x46", "MSNV", "mp42", "isom"), "video"},
		{"mp4 of a console", brandsFile(24, "MSNV", "\x00\x00\x02\x00", "MSNV", "mp41"), "video"},
		{"mp4 of a phone", brandsFile(28, "3gp4", "\x00\x00\x00\x00", "isom", "3gp4", "mp42"), "video"},
		{"mp4 of another phone", brandsFile(24, "3gp5", "\x00\x00\x01\x00", "3gp5", "mp41"), "video"},
		{"3gp", brandsFile(24, "3gp4", "\x00\x00\x03\x00", "3gp4", "isom"), "none"},
		{"3gp that names itself mp4 after the box", brandsFile(24, "3gp4", "\x00\x00\x00\x00", "isom", "3gp4", "mp42"), "none"},
		{"3gp with mp42 for its version", brandsFile(20, "3gp4", "mp42", "3gp4"), "none"},
		{"3gp whose box is longer than the file", brandsFile(280, "3gp4", "\x00\x00\x00\x00", "3gp4", "mp42"), "none"},
		{"3gp whose box has no end", brandsFile(0, "3gp4", "\x00\x00\x00\x00", "3gp4", "mp42"), "none"},
		{"3gp cut short", brandsFile(24, "3gp4", "\x00\x00\x00\x00", "mp42")[:15], "none"},
		{"m4a compatible with mp4", brandsFile(28, "M4A ", "\x00\x00\x00\x00", "M4A ", "mp42", "isom"), "none"},
		{"heic compatible with mp4", brandsFile(28, "heic", "\x00\x00\x00\x00", "mif1", "mp42", "heic"), "none"},
		{"mov", mp4File("qt  "), "none"},
		{"webm", []byte("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm"), "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t)
			for name, kind := range map[string]Kind{"picture": Picture(), "audio": Audio(), "video": Video()} {
				before := len(s.stored(t))
				stored, err := s.Save(t.Context(), "alice", kind, bytes.NewReader(tt.content))
				if name != tt.kind {
					refused(t, err, fault.UnsupportedFileType)
					if stored != "" || len(s.stored(t)) != before {
						t.Errorf("as %s it left %q, %v", name, stored, s.stored(t))
					}
					continue
				}
				must(t, err)
				object, err := s.Open(t.Context(), kind, stored)
				must(t, err)
				if !bytes.Equal(contentOf(t, object), tt.content) {
					t.Errorf("as %s it comes back changed", name)
				}
			}
			err := s.SaveAvatar(t.Context(), "alice", bytes.NewReader(tt.content))
			if tt.kind == "picture" {
				must(t, err)
				return
			}
			refused(t, err, fault.UnsupportedFileType)
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	big := append(mp4File("isom"), make([]byte, 3*sniffed)...)
	for _, tt := range []struct {
		name  string
		limit int64
		good  bool
	}{
		{"none", 0, true},
		{"more than it has", int64(len(big)) + 1, true},
		{"as much as it has", int64(len(big)), true},
		{"a byte less", int64(len(big)) - 1, false},
		{"what tells its type", sniffed, false},
		{"less than that", 10, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, reader := range map[string]io.Reader{
				"at once": bytes.NewReader(big), "in drops": iotest.OneByteReader(bytes.NewReader(big)),
				"with its end": iotest.DataErrReader(bytes.NewReader(big)),
			} {
				s := newShelf(t, func(o *Options) { o.VideoLimit = tt.limit })
				_, err := s.Save(t.Context(), "alice", Video(), reader)
				if tt.good {
					must(t, err)
					continue
				}
				refused(t, err, fault.FileTooLarge)
				same(t, "left behind "+name, nil, s.stored(t))
			}
		})
	}
}

func TestEachKindHasItsLimit(t *testing.T) {
	t.Parallel()
	picture, song, film := pngFile(t), mp3File(id3), mp4File("isom")
	s := newShelf(t, func(o *Options) {
		o.AvatarLimit, o.PictureLimit = int64(len(picture))-1, int64(len(picture))
		o.AudioLimit, o.VideoLimit = int64(len(song))-1, int64(len(film))
	})
	refused(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(picture)), fault.FileTooLarge)
	_, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(picture))
	must(t, err)
	_, err = s.Save(t.Context(), "alice", Audio(), bytes.NewReader(song))
	refused(t, err, fault.FileTooLarge)
	_, err = s.Save(t.Context(), "alice", Video(), bytes.NewReader(film))
	must(t, err)
}

// An upload that breaks off at any byte stores nothing and keeps the avatar before it.
func TestReadersThatFail(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	whole := append(pngFile(t), make([]byte, 2*sniffed)...)
	must(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(pngFile(t))))
	before := s.stored(t)
	for _, cut := range []int{0, 1, len(pngFile(t)), sniffed - 1, sniffed, sniffed + 1, len(whole)} {
		for _, why := range []error{errors.New("gone"), io.ErrUnexpectedEOF, context.Canceled, malformed(io.EOF)} {
			broken := func() io.Reader { return io.MultiReader(bytes.NewReader(whole[:cut]), iotest.ErrReader(why)) }
			if _, err := s.Save(t.Context(), "alice", Picture(), broken()); !errors.Is(err, why) {
				t.Errorf("cut at %d by %q: %v", cut, why, err)
			}
			if err := s.SaveAvatar(t.Context(), "alice", broken()); !errors.Is(err, why) {
				t.Errorf("an avatar cut at %d by %q: %v", cut, why, err)
			}
		}
	}
	same(t, "stored", before, s.stored(t))
	object, _, err := s.OpenAvatar(t.Context(), "alice", "")
	must(t, err)
	if !bytes.Equal(contentOf(t, object), pngFile(t)) {
		t.Error("the avatar is another")
	}
}

func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(pngFile(t)))
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(s.folder, blob.Picture)))
	must(t, os.WriteFile(filepath.Join(s.folder, blob.Picture), nil, 0o600)) // a file in place of the folder
	_, err = s.Save(t.Context(), "alice", Picture(), bytes.NewReader(pngFile(t)))
	refused(t, err, fault.Unavailable)
	if _, err = s.Open(t.Context(), Picture(), name); err == nil {
		t.Error("a file is opened that can't be there")
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	pattern := regexp.MustCompile(`^\d{4}-\d\d-\d\d:\d\d:\d\d:\d\d-[A-Za-z0-9]{22,}$`)
	seen := make(map[string]bool)
	for range 50 {
		before := time.Now().Truncate(time.Second)
		name, err := s.Save(t.Context(), "alice", Picture(), bytes.NewReader(pngFile(t)))
		must(t, err)
		if !pattern.MatchString(name) {
			t.Fatalf("%q", name)
		}
		at, err := time.ParseInLocation("2006-01-02:15:04:05", name[:19], s.Zone)
		must(t, err)
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("%q was stored at %s, in the zone of the server", name, before.In(s.Zone))
		}
		random := name[20:]
		if seen[random] {
			t.Errorf("%q is not random", random)
		}
		seen[random] = true
	}
	if n := len(s.stored(t)); n != 50 {
		t.Errorf("%d files", n)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	const original = "2022-02-26:01:34:05"
	s.copyIn(t, blob.Picture+"/"+original, []byte("kept since"))
	s.copyIn(t, blob.Avatar+"/"+original, []byte("an avatar"))
	object, err := s.Open(t.Context(), Picture(), original)
	must(t, err)
	same(t, "a file of the original", "kept since", string(contentOf(t, object)))
	for _, k := range []Kind{Audio(), Video()} {
		_, err := s.Open(t.Context(), k, original)
		refused(t, err, fault.UnknownFile)
	}
	s.copyIn(t, blob.Picture+"/other", []byte("x"))
	long := strings.Repeat("x", 64)
	for _, name := range []string{
		"", ".", "..", "/", "other", original + "-", original + "-short", original + "-" + long, original + "-" + long + "x",
		original + ".jpg", original + "\x00", original + "\n", " " + original, original + "/../" + original,
		"../picture/" + original, "../avatar/" + original, "%2e%2e/avatar/" + original, `..\avatar\` + original,
		"/etc/passwd", "2022-02-26:01:34:06", "２０22-02-26:01:34:05", strings.Repeat("9", 1<<16), "\xff\xfe",
	} {
		if object, err := s.Open(t.Context(), Picture(), name); !fault.Is(err, fault.UnknownFile) {
			t.Errorf("%q: %v, %v", name, object, err)
		}
	}
}

func TestAvatars(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for _, account := range []string{"alice", "../alice", "a/b", strings.Repeat("密", 100), "Alice"} {
		_, _, err := s.OpenAvatar(t.Context(), account, "")
		refused(t, err, fault.NoAvatar)
		for _, tt := range []struct {
			content []byte
			kind    string
		}{{pngFile(t), "image/png"}, {jpegFile(t), "image/jpeg"}, {bmpFile(), "image/bmp"}} {
			must(t, s.SaveAvatar(t.Context(), account, bytes.NewReader(tt.content)))
			object, kind, err := s.OpenAvatar(t.Context(), account, "")
			must(t, err)
			if kind != tt.kind || object.Size != int64(len(tt.content)) || !bytes.Equal(contentOf(t, object), tt.content) {
				t.Errorf("%q: got %d bytes of %s", account, object.Size, kind)
			}
		}
	}
	if n := len(s.stored(t)); n != 5 {
		t.Errorf("five accounts have %v", s.stored(t))
	}
}

func TestAvatarsOfTheOriginal(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.copyIn(t, blob.Avatar+"/lxc", jpegFile(t))
	s.copyIn(t, blob.Avatar+"/页面", []byte("<html><script>alert(1)</script></html>"))
	s.copyIn(t, blob.Avatar+"/drawing", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`))
	s.copyIn(t, blob.Avatar+"/empty", nil)
	s.copyIn(t, blob.Picture+"/lxc", pngFile(t))
	_, kind, err := openAvatar(t, s, "123", "lxc")
	must(t, err)
	same(t, "its type", "image/jpeg", kind)
	for _, username := range []string{
		"", "页面", "drawing", "empty", "nobody", "../picture/lxc", "..", ".", "lxc/", "/lxc", "lxc\x00", "\xff", strings.Repeat("x", 300),
	} {
		_, _, err := openAvatar(t, s, "123", username)
		if !fault.Is(err, fault.NoAvatar) {
			t.Errorf("%q: %v", username, err)
		}
	}
	// An account's own avatar comes first.
	must(t, s.SaveAvatar(t.Context(), "123", bytes.NewReader(pngFile(t))))
	content, kind, err := openAvatar(t, s, "123", "lxc")
	must(t, err)
	if kind != "image/png" || !bytes.Equal(content, pngFile(t)) {
		t.Errorf("got %s", kind)
	}
}

func openAvatar(t *testing.T, s *shelf, account, username string) ([]byte, string, error) {
	t.Helper()
	object, kind, err := s.OpenAvatar(t.Context(), account, username)
	if err != nil {
		return nil, "", err
	}
	return contentOf(t, object), kind, nil
}

func TestAvatarLinks(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	before := time.Now().Add(linkLife).Unix()
	link := s.SignAvatar("alice", &blob.Object{ETag: `"1"`})
	expires, signature := link.Expires, link.Signature
	if expires < before || expires > time.Now().Add(linkLife+linkStep).Unix() {
		t.Errorf("expires at %d", expires)
	}
	must(t, s.CheckAvatar("alice", expires, signature))
	past := time.Now().Add(-time.Second).Unix()
	other := newShelf(t, func(o *Options) { o.LinkKey = []byte("another key, of more than 32 bytes as well") })
	foreign := other.SignAvatar("alice", &blob.Object{}).Signature
	for _, tt := range []struct {
		name, account string
		expires       int64
		signature     string
		want          fault.Reason
	}{
		{"expired", "alice", past, s.sign("alice", past), fault.ExpiredLink},
		{"long ago", "alice", -1 << 62, s.sign("alice", -1<<62), fault.ExpiredLink},
		{"made to last", "alice", expires + 1, signature, fault.InvalidLink},
		{"made to last after its end", "alice", expires, s.sign("alice", past), fault.InvalidLink},
		{"another account", "bob", expires, signature, fault.InvalidLink},
		{"no signature", "alice", expires, "", fault.InvalidLink},
		{"half of it", "alice", expires, signature[:20], fault.InvalidLink},
		{"more than it", "alice", expires, signature + "A", fault.InvalidLink},
		{"padding", "alice", expires, signature + "=", fault.InvalidLink},
		{"a line break", "alice", expires, signature + "\n", fault.InvalidLink},
		{"a line break within", "alice", expires, signature[:9] + "\r\n" + signature[9:], fault.InvalidLink},
		{"a blank", "alice", expires, " " + signature, fault.InvalidLink},
		{"another one of the last letters that mean the same", "alice", expires, sameBits(signature), fault.InvalidLink},
		{"the other alphabet", "alice", expires, "+/" + signature[2:], fault.InvalidLink},
		{"another server's", "alice", expires, foreign, fault.InvalidLink},
		{"account and expiry run together", "1\nalice", 0, s.sign("alice", 1), fault.InvalidLink},
	} {
		if err := s.CheckAvatar(tt.account, tt.expires, tt.signature); !fault.Is(err, tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// sameBits is a signature that a decoder of base64 takes for the same when it doesn't look at the bits that no byte needs.
func sameBits(signature string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(digits, signature[len(signature)-1])
	return signature[:len(signature)-1] + digits[last^1:last^1+1]
}

// A link ends at the same time for a linkStep, whenever in it it is made, and is valid for linkLife at least.
func TestLinkEnd(t *testing.T) {
	t.Parallel()
	ends := map[int64]bool{}
	for _, account := range []string{"alice", "bob", "艾丽丝", ""} {
		begin := time.Unix(1_800_000_000, 0)
		end := linkEnd(account, begin)
		ends[end] = true
		changes := 0
		for now := begin; now.Before(begin.Add(3 * linkStep)); now = now.Add(59 * time.Minute) {
			next := linkEnd(account, now)
			if life := time.Duration(next-now.Unix()) * time.Second; life < linkLife || life >= linkLife+linkStep {
				t.Fatalf("%s: at %s a link lives %s", account, now, life)
			}
			if next != end {
				changes++
				if next-end != int64(linkStep/time.Second) {
					t.Errorf("%s: the next end is %d s later", account, next-end)
				}
				end = next
			}
		}
		if changes != 3 {
			t.Errorf("%s: in three steps the link changes %d times", account, changes)
		}
		if at := time.Unix(end, 0).Add(-linkLife); linkEnd(account, at) != end || linkEnd(account, at.Add(time.Second)) == end {
			t.Errorf("%s: not the latest moment at which a link ends then", account)
		}
	}
	if len(ends) < 4 {
		t.Error("links of different accounts end at the same time")
	}
}

// Another picture has another version, also one of the same size that is stored at once.
func TestVersion(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	seen := map[string]bool{}
	for i := range 20 {
		must(t, s.SaveAvatar(t.Context(), "alice", bytes.NewReader(append(pngFile(t), byte(i)))))
		var versions [2]string
		for j := range versions {
			object, _, err := s.OpenAvatar(t.Context(), "alice", "")
			must(t, err)
			versions[j] = Version(object)
			must(t, object.Close())
		}
		if versions[0] != versions[1] || seen[versions[0]] {
			t.Errorf("version %d: %q", i, versions)
		}
		seen[versions[0]] = true
	}
}
