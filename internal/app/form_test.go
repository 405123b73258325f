package app_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"mime/multipart"
	"net/textproto"
	"testing"
)

// form is an upload's multipart form: its parts, in order.
type form struct{ parts []part }

// part is a field, or a file when it has a filename.
type part struct {
	name, filename, kind string
	data                 []byte
}

// fileForm returns a form with only a file, under any name and type.
func fileForm(data []byte) *form { return liar(data, "picture.jpg", "image/jpeg") }

func liar(data []byte, filename, kind string) *form {
	return &form{[]part{{name: "file", filename: filename, kind: kind, data: data}}}
}

func field(name, value string) part { return part{name: name, data: []byte(value)} }

// around returns the form with fields before and after its parts.
func (f *form) around(before, after []part) *form {
	return &form{append(append(append([]part{}, before...), f.parts...), after...)}
}

func (f *form) encode(t testing.TB) (io.Reader, string) {
	t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range f.parts {
		header := textproto.MIMEHeader{}
		disposition := `form-data; name="` + p.name + `"`
		if p.filename != "" {
			disposition += `; filename="` + p.filename + `"`
			header.Set("Content-Type", p.kind)
		}
		header.Set("Content-Disposition", disposition)
		out, err := w.CreatePart(header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(p.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &body, w.FormDataContentType()
}

// drawn returns a small picture in an encoding.
func drawn(t testing.TB, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	picture := image.NewPaletted(image.Rect(0, 0, 16, 16), color.Palette{color.White, color.Black})
	for i := range 16 {
		picture.SetColorIndex(i, i, 1)
	}
	var out bytes.Buffer
	if err := encode(&out, picture); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func jpgBytes(t testing.TB) []byte {
	return drawn(t, func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) })
}
func pngBytes(t testing.TB) []byte { return drawn(t, png.Encode) }

// bmpBytes is a bitmap of one white pixel.
func bmpBytes() []byte {
	header := []byte("BM")
	for _, n := range []uint32{58, 0, 54, 40, 1, 1, 24<<16 | 1, 0, 4, 2835, 2835, 0, 0} {
		header = binary.LittleEndian.AppendUint32(header, n)
	}
	return append(header, 0xff, 0xff, 0xff, 0)
}

func gifBytes(t testing.TB) []byte {
	return drawn(t, func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) })
}

// mpegFrames returns silence: MPEG-1 layer III frames of 128 kbit/s at 44.1 kHz, 417 bytes each.
func mpegFrames(n int) []byte {
	frame := make([]byte, 417)
	copy(frame, []byte{0xff, 0xfb, 0x90, 0x00})
	return bytes.Repeat(frame, n)
}

// taggedMP3 returns music that begins with an ID3v2.3 tag, as most does.
func taggedMP3() []byte {
	title := append([]byte{0}, "silence"...)
	frame := append([]byte("TIT2"), binary.BigEndian.AppendUint32(nil, uint32(len(title)))...)
	frame = append(append(frame, 0, 0), title...)
	tag := append([]byte{'I', 'D', '3', 3, 0, 0}, 0, 0, 0, byte(len(frame)))
	return append(append(tag, frame...), mpegFrames(10)...)
}

// mp4Bytes returns the beginning of a video with a brand, and size bytes of data.
func mp4Bytes(brand string, size int) []byte {
	box := func(name string, data []byte) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+8)), name...), data...)
	}
	head := box("ftyp", []byte(brand+"\x00\x00\x02\x00"+brand+"iso2avc1mp41"))
	return append(head, box("mdat", bytes.Repeat([]byte{0x5a}, size))...)
}
