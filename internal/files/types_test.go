package files

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"tim/internal/fault"
)

// kindOf returns the kind as which a content is accepted, by each way in which it may arrive.
func kindOf(t *testing.T, s *shelf, content []byte) string {
	t.Helper()
	accepted := "none"
	for name, kind := range map[string]Kind{"picture": Picture(), "audio": Audio(), "video": Video()} {
		for how, r := range map[string]io.Reader{
			"at once": bytes.NewReader(content), "in drops": iotest.OneByteReader(bytes.NewReader(content)), "with its end": iotest.DataErrReader(bytes.NewReader(content)),
		} {
			before := len(s.stored(t))
			_, err := s.Save(t.Context(), "alice", kind, r)
			switch {
			case err == nil && accepted != "none" && accepted != name:
				t.Errorf("%s: both %s and %s", how, accepted, name)
			case err == nil:
				accepted = name
			case !fault.Is(err, fault.UnsupportedFileType):
				t.Errorf("%s as %s: %v", how, name, err)
			case len(s.stored(t)) != before:
				t.Errorf("%s as %s left something behind", how, name)
			case accepted == name:
				t.Errorf("%s: not a %s", how, name)
			}
		}
	}
	return accepted
}

// bmpOf returns a picture of 2×2 with an information header of so many bytes.
func bmpOf(size, planes, bits int) []byte {
	info := binary.LittleEndian.AppendUint32(nil, uint32(size))
	if size == 12 {
		for _, field := range []int{2, 2, planes, bits} {
			info = binary.LittleEndian.AppendUint16(info, uint16(field))
		}
	} else {
		info = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(info, 2), 2)
		info = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(info, uint16(planes)), uint16(bits))
	}
	info = append(info, make([]byte, max(0, min(size, 200)-len(info)))...)
	head := binary.LittleEndian.AppendUint32([]byte("BM"), uint32(14+len(info)+16))
	head = binary.LittleEndian.AppendUint32(head, 0)
	return append(append(binary.LittleEndian.AppendUint32(head, uint32(14+len(info))), info...), make([]byte, 16)...)
}

func id3Tag(version byte, flags byte, size int) string {
	tag := []byte{'I', 'D', '3', version, 0, flags, byte(size >> 21 & 0x7f), byte(size >> 14 & 0x7f), byte(size >> 7 & 0x7f), byte(size & 0x7f)}
	content := bytes.Repeat([]byte("x"), size)
	if flags&0x10 != 0 {
		content = append(content, append([]byte("3DI"), tag[3:]...)...)
	}
	return string(append(tag, content...))
}

func apeTag(size int) string {
	head := binary.LittleEndian.AppendUint32([]byte("APETAGEX\xd0\x07\x00\x00"), uint32(size))
	return string(head) + strings.Repeat("\x00", 16) + strings.Repeat("y", size)
}

// box returns a box of an MP4 file.
func box(kind, content string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(8+len(content)))) + kind + content
}

func largeBox(kind, content string) string {
	return "\x00\x00\x00\x01" + kind + string(binary.BigEndian.AppendUint64(nil, uint64(16+len(content)))) + content
}

type typeCase struct {
	name, content, kind string
}

func TestTypesOfPictures(t *testing.T) {
	t.Parallel()
	png, jpeg := string(pngFile(t)), string(jpegFile(t))
	segment := func(marker byte, content string) string {
		return "\xff\xd8\xff" + string([]byte{marker}) + "\x00" + string([]byte{byte(len(content) + 2)}) + content
	}
	cases := []typeCase{
		{"apng", png[:33] + "\x00\x00\x00\x08acTL\x00\x00\x00\x01\x00\x00\x00\x00\xb9\x3e\xb8\xde" + png[33:], "picture"},
		{"png of Apple's own form", png[:8] + "\x00\x00\x00\x04CgBI\x50\x00\x20\x02\x2b\xd5\xb3\x7f" + png[8:], "none"},
		{"mng", "\x8aMNG\r\n\x1a\n\x00\x00\x00\x1cMHDR", "none"},
		{"jpeg with JFIF", segment(0xe0, "JFIF\x00\x01\x01"), "picture"},
		{"jpeg with Exif", segment(0xe1, "Exif\x00\x00MM\x00*"), "picture"},
		{"jpeg of a scanner, with a profile", segment(0xe2, "ICC_PROFILE\x00"), "picture"},
		{"jpeg of Photoshop", segment(0xed, "Photoshop 3.0\x00"), "picture"},
		{"jpeg of Adobe, CMYK", segment(0xee, "Adobe\x00d\x00\x00\x00\x00\x02"), "picture"},
		{"jpeg with a comment", segment(0xfe, "hello"), "picture"},
		{"jpeg of tables", segment(0xdb, strings.Repeat("\x10", 65)), "picture"},
		{"jpeg with its frame first, progressive", segment(0xc2, "\x08\x00\x01\x00\x01\x01\x01\x11\x00"), "picture"},
		{"jpeg with fill bytes", "\xff\xd8\xff\xff\xff\xe0\x00\x07JFIF\x00", "picture"},
		{"jpeg in drops of Go", jpeg, "picture"},
		{"JPEG-LS", segment(0xf7, "\x08\x00\x01\x00\x01\x01"), "none"},
		{"jpeg that ends at once", "\xff\xd8\xff\xd9", "none"},
		{"jpeg of fill bytes alone", "\xff\xd8" + strings.Repeat("\xff", 5000), "none"},
		{"JPEG 2000", "\x00\x00\x00\x0cjP  \r\n\x87\n" + box("ftyp", "jp2 \x00\x00\x00\x00jp2 "), "none"},
		{"JPEG XL", "\xff\x0a\x00\x10\xb0\x13", "none"},
		{"JPEG XL in a container", "\x00\x00\x00\x0cJXL \r\n\x87\n" + box("ftyp", "jxl \x00\x00\x00\x00jxl "), "none"},
		{"bmp with a header of 13", string(bmpOf(13, 1, 24)), "none"},
		{"bmp with a header of 128", string(bmpOf(128, 1, 24)), "none"},
		{"bmp of two planes", string(bmpOf(40, 2, 24)), "none"},
		{"bmp of 5 bits", string(bmpOf(40, 1, 5)), "none"},
		{"bmp cut short", string(bmpOf(40, 1, 24)[:28]), "none"},
		{"text about BMW", "BMW makes cars, and this is a text about them that is long enough.", "none"},
		{"tiff", "II*\x00\x08\x00\x00\x00", "none"},
		{"html before a jpeg", "<html><script>alert(1)</script>" + jpeg, "none"},
		{"svg before a png", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>` + png, "none"},
		{"a line before a png", "\n" + png, "none"},
	}
	for _, size := range []int{12, 16, 40, 52, 56, 64, 108, 124} {
		cases = append(cases, typeCase{fmt.Sprintf("bmp with a header of %d", size), string(bmpOf(size, 1, 24)), "picture"})
	}
	checkTypes(t, cases)
}

func checkTypes(t *testing.T, cases []typeCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			same(t, "its kind", tt.kind, kindOf(t, newShelf(t), []byte(tt.content)))
		})
	}
}

func TestTypesOfMusic(t *testing.T) {
	t.Parallel()
	music := string(mp3File(""))
	frame := func(header string, size int) string { return header + strings.Repeat("\x00", size-len(header)) }
	adts := strings.Repeat(frame("\xff\xf1\x50\x80\x0c\x9f\xfc", 100), 20)
	checkTypes(t, []typeCase{
		{"no tag", music, "audio"},
		{"ID3v2.2", id3Tag(2, 0, 300) + music, "audio"},
		{"ID3v2.3", id3Tag(3, 0, 300) + music, "audio"},
		{"ID3v2.4", id3Tag(4, 0, 300) + music, "audio"},
		{"ID3v2.4 with a footer", id3Tag(4, 0x10, 300) + music, "audio"},
		{"two tags", id3Tag(3, 0, 300) + id3Tag(4, 0, 20) + music, "audio"},
		{"more tags than any tool writes", strings.Repeat(id3Tag(3, 0, 3), maxTags+2) + music, "none"},
		{"a tag with a cover", id3Tag(3, 0, 300_000) + music, "audio"},
		{"a tag with a cover, then a page", id3Tag(3, 0, 300_000) + "<html><script>alert(1)</script>" + strings.Repeat("x", 30_000), "none"},
		{"a tag with a cover, then nothing", id3Tag(3, 0, 300_000), "none"},
		{"a tag with a cover, cut short", id3Tag(3, 0, 300_000)[:200_000], "none"},
		{"two tags with covers", id3Tag(3, 0, 300_000) + id3Tag(4, 0x10, 50_000) + music, "audio"},
		{"padding behind the tag", id3Tag(3, 0, 30) + strings.Repeat("\x00", 100_000) + music, "audio"},
		{"nothing but zeros", strings.Repeat("\x00", 3<<20), "none"},
		{"an APE tag", apeTag(200) + music, "audio"},
		{"an APE tag behind one of ID3", id3Tag(3, 0, 30) + apeTag(20_000) + music, "audio"},
		{"a tag of which nobody knows the size", "ID3\x04\x00\x00\xff\xff\xff\xff" + music, "none"},
		{"cut out of a stream", strings.Repeat("\x5a\x81\x03", 300) + music, "audio"},
		{"too much junk", strings.Repeat("\x5a\x81\x03", 3000) + music, "none"},
		{"a page before it", "<html><script>alert(1)</script></html>" + music, "none"},
		{"a drawing before it", `<?xml version="1.0"?><svg onload="alert(1)"/>` + music, "none"},
		{"a text before it", "to whom it may concern\n" + music, "none"},
		{"a page with a byte that no text has before it", "\ufeff\n<html><script>alert(1)</script>\x01" + music, "none"},
		{"wav with mp3 inside", "RIFF\xff\x00\x00\x00WAVEfmt \x1e\x00\x00\x00\x55\x00" + strings.Repeat("\x01", 28) + "data\xff\x00\x00\x00" + music, "none"},
		{"a video with mp3 inside", "FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00" + music, "none"},
		{"MPEG-2, 64 kbit/s at 22050", strings.Repeat(frame("\xff\xf3\x80\xc0", 208), 4), "audio"},
		{"MPEG-2.5, 8 kbit/s at 8000", strings.Repeat(frame("\xff\xe3\x18\xc0", 72), 4), "audio"},
		{"320 kbit/s at 32000, padded", strings.Repeat(frame("\xff\xfb\xea\x00", 1441), 4), "audio"},
		{"free format", strings.Repeat(frame("\xff\xfb\x00\x00", 700), 4), "audio"},
		{"protected by sums", strings.Repeat(frame("\xff\xfa\x90\x00", 417), 4), "audio"},
		{"one frame and no more", frame("\xff\xfb\x90\x00", 417), "audio"},
		{"one frame and a tag", frame("\xff\xfb\x90\x00", 417) + "TAG" + strings.Repeat("\x00", 125), "audio"},
		{"one frame, then text", frame("\xff\xfb\x90\x00", 417) + strings.Repeat("text", 200), "none"},
		{"a header alone", "\xff\xfb\x90\x00", "none"},
		{"text behind such a header", "\xff\xfb\x90\x44" + strings.Repeat("a text in another encoding ", 900), "none"},
		{"AAC", adts, "none"},
		{"AAC behind a tag", id3Tag(4, 0, 63) + adts, "none"},
		{"layer II", strings.Repeat(frame("\xff\xfd\x80\x00", 417), 4), "none"},
		{"UTF-16", "\xff\xfe" + strings.Repeat("a\x00b\x00", 900), "none"},
		{"bytes of ones", strings.Repeat("\xff", 30_000), "none"},
	})
}

func TestTypesOfVideos(t *testing.T) {
	t.Parallel()
	rest := box("free", "") + box("mdat", "xx")
	checkTypes(t, []typeCase{
		{"a large size", largeBox("ftyp", "isom\x00\x00\x02\x00isomiso2mp41") + rest, "video"},
		{"a large size cut short", largeBox("ftyp", "isom\x00\x00\x02\x00")[:15], "none"},
		{"a large size that is too small", "\x00\x00\x00\x01ftyp\x00\x00\x00\x00\x00\x00\x00\x08isom\x00\x00\x00\x00", "none"},
		{"a size beyond any file", "\x00\x00\x00\x01ftyp\xff\xff\xff\xff\xff\xff\xff\xffisom\x00\x00\x00\x00", "none"},
		{"free space first", box("free", "xxxx") + box("wide", "") + box("ftyp", "mp42\x00\x00\x00\x00mp42") + rest, "video"},
		{"free space alone", strings.Repeat(box("free", ""), 1000), "none"},
		{"no compatible brand", box("ftyp", "mp42\x00\x00\x00\x00") + rest, "video"},
		{"of a stream", box("ftyp", "dash\x00\x00\x00\x00iso6mp41") + rest, "video"},
		{"in fragments", box("ftyp", "iso5\x00\x00\x02\x00iso5iso6mp41") + rest, "video"},
		{"a piece of a stream", box("styp", "msdh\x00\x00\x00\x00msdhmsix") + rest, "none"},
		{"of iTunes", box("ftyp", "M4V \x00\x00\x00\x01M4V M4A mp42isom") + rest, "video"},
		{"of Sony", box("ftyp", "XAVC\x01\x00\x1f\xffXAVCmp42iso2") + rest, "video"},
		{"of Nero", box("ftyp", "ndsc\x00\x00\x00\x00ndscmp41") + rest, "video"},
		{"of a device that isn't compatible", box("ftyp", "abcd\x00\x00\x00\x00abcd") + rest, "none"},
		{"3g2 that is compatible", box("ftyp", "3g2a\x00\x01\x00\x003g2amp42") + rest, "video"},
		{"3g2", box("ftyp", "3g2a\x00\x01\x00\x003g2aisom") + rest, "none"},
		{"music", box("ftyp", "M4A \x00\x00\x02\x00M4A isomiso2") + rest, "none"},
		{"a book", box("ftyp", "M4B \x00\x00\x02\x00M4B mp42isom") + rest, "none"},
		{"a book of Audible", box("ftyp", "aax \x00\x00\x00\x01aax M4B mp42isom") + rest, "none"},
		{"a raw picture of Canon", box("ftyp", "crx \x00\x00\x00\x01crx isom") + rest, "none"},
		{"HEIC", box("ftyp", "heic\x00\x00\x00\x00mif1heicmp42isom") + rest, "none"},
		{"HEIF of another maker", box("ftyp", "abcd\x00\x00\x00\x00heicisom") + rest, "none"},
		{"AVIF", box("ftyp", "avif\x00\x00\x00\x00avifmif1miafisom") + rest, "none"},
		{"AVIF, animated", box("ftyp", "avis\x00\x00\x00\x00avisavifmsf1iso8isom") + rest, "none"},
		{"JPEG XL", "\x00\x00\x00\x0cJXL \r\n\x87\n" + box("ftyp", "jxl \x00\x00\x00\x00jxl isom") + rest, "none"},
		{"QuickTime", box("ftyp", "qt  \x20\x05\x03\x00qt  mp42") + rest, "none"},
		{"QuickTime of old", box("moov", "xxxx") + box("mdat", "xx"), "none"},
		{"html for a size", "<htmlftyp" + "isom\x00\x00\x02\x00isom", "none"},
		{"html before it", "<html><script>alert(1)</script>" + box("ftyp", "isom\x00\x00\x02\x00isom"), "none"},
	})
}

// TestTypesOfToolsFiles makes files by the tools that are installed. The tables above need none.
func TestTypesOfToolsFiles(t *testing.T) {
	t.Parallel()
	video := "-f lavfi -i testsrc=duration=0.2:size=32x32:rate=10 "
	sound := "-f lavfi -i sine=duration=0.5 "
	for _, tt := range []struct{ tool, args, file, kind string }{
		{"ffmpeg", video + "-frames:v 1", "a.png", "picture"},
		{"ffmpeg", video + "-f apng", "b.png", "picture"},
		{"ffmpeg", video + "-frames:v 1", "c.jpg", "picture"},
		{"ffmpeg", video + "-frames:v 1", "d.bmp", "picture"},
		{"ffmpeg", video, "e.gif", "none"},
		{"ffmpeg", sound, "a.mp3", "audio"},
		{"ffmpeg", sound + "-write_xing 0 -id3v2_version 0", "b.mp3", "audio"},
		{"ffmpeg", sound + "-ar 8000 -b:a 8k -id3v2_version 3 -write_id3v1 1", "c.mp3", "audio"},
		{"ffmpeg", sound + "-ar 22050 -q:a 5", "d.mp3", "audio"},
		{"ffmpeg", sound, "e.aac", "none"},
		{"ffmpeg", sound, "f.mp2", "none"},
		{"ffmpeg", sound, "g.m4a", "none"},
		{"ffmpeg", sound, "h.wav", "none"},
		{"ffmpeg", sound + "-c:a libmp3lame", "i.wav", "none"},
		{"ffmpeg", sound + "-c:a libmp3lame", "j.mka", "none"},
		{"ffmpeg", video, "a.mp4", "video"},
		{"ffmpeg", video + "-movflags frag_keyframe+empty_moov+default_base_moof", "b.mp4", "video"},
		{"ffmpeg", video + "-movflags faststart", "c.mp4", "video"},
		{"ffmpeg", video + "-movflags dash+frag_keyframe", "d.mp4", "video"},
		{"ffmpeg", video, "e.m4v", "video"},
		{"ffmpeg", video, "f.mov", "none"},
		{"ffmpeg", video, "g.mkv", "none"},
		{"ffmpeg", video, "h.ts", "none"},
		{"ffmpeg", video, "i.flv", "none"},
		{"convert", "-size 8x8 xc:red", "a.png", "picture"},
		{"convert", "-size 8x8 xc:red", "BMP2:b.bmp", "picture"},
		{"convert", "-size 8x8 xc:red", "BMP3:c.bmp", "picture"},
		{"convert", "-size 8x8 xc:red", "d.bmp", "picture"},
		{"convert", "-size 8x8 xc:red -monochrome", "BMP3:e.bmp", "picture"},
		{"convert", "-size 8x8 xc:red -colorspace CMYK", "f.jpg", "picture"},
		{"convert", "-size 8x8 xc:red -interlace Plane", "g.jpg", "picture"},
		{"convert", "-size 8x8 xc:red -strip", "h.jpg", "picture"},
		{"convert", "-size 8x8 xc:red", "i.tif", "none"},
		{"convert", "-size 8x8 xc:red", "j.ico", "none"},
		{"convert", "-size 8x8 xc:red", "k.ppm", "none"},
	} {
		t.Run(tt.tool+" "+tt.file, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(tt.tool)
			if err != nil {
				t.Logf("%s isn't installed; nothing is made", tt.tool)
				return
			}
			folder := t.TempDir()
			args := strings.Fields(tt.args)
			if tt.tool == "ffmpeg" {
				args = append([]string{"-nostdin", "-loglevel", "error", "-threads", "1"}, args...)
			}
			made := exec.CommandContext(t.Context(), path, append(args, tt.file)...)
			made.Dir = folder
			if out, err := made.CombinedOutput(); err != nil {
				t.Logf("this build of %s can't make it: %s", tt.tool, out)
				return
			}
			name := tt.file[strings.LastIndex(tt.file, ":")+1:]
			content, err := os.ReadFile(filepath.Join(folder, name))
			must(t, err)
			same(t, "its kind", tt.kind, kindOf(t, newShelf(t), content))
		})
	}
}

// FuzzTypes feeds the judges: they must end, agree however the bytes are cut, and never take what begins like a page.
func FuzzTypes(f *testing.F) {
	for _, seed := range [][]byte{
		pngFile(f), jpegFile(f), bmpFile(), bmpOf(12, 1, 24), mp3File(""), mp3File(id3), []byte(id3Tag(4, 0x10, 50) + apeTag(20)), mp4File("isom"),
		[]byte(largeBox("ftyp", "isom\x00\x00\x02\x00isom")), []byte("<html>" + string(mp3File(""))),
	} {
		f.Add(seed, 7)
	}
	f.Fuzz(func(t *testing.T, content []byte, cut int) {
		for _, kind := range []Kind{Picture(), Audio(), Video()} {
			whole := verdict(kind, content)
			cut := min(max(cut, 0), len(content))
			if parts := verdict(kind, content[:cut], content[cut:]); parts != whole {
				t.Errorf("%s: %t at once, %t cut at %d", kind.prefix, whole, parts, cut)
			}
			if whole && strings.HasPrefix(strings.ToLower(strings.TrimSpace(string(content))), "<html") {
				t.Errorf("a page is taken for %s", kind.prefix)
			}
		}
	})
}

func verdict(k Kind, pieces ...[]byte) bool {
	j := k.judge()
	for _, p := range pieces {
		if decided, good := j.feed(p); decided {
			return good
		}
	}
	return j.end()
}
