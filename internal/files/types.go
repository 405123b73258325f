package files

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The media types of pictures.
const (
	typeJPEG = "image/jpeg"
	typePNG  = "image/png"
	typeBMP  = "image/bmp"
)

// judge tells by a file's bytes, which it is fed in order, whether the file is of its kind.
type judge interface {
	// feed takes the next bytes. When decided is true, good is the verdict and no more bytes are needed.
	feed(b []byte) (decided, good bool)
	// end is the verdict on a file that has ended before feed decided.
	end() bool
}

// headJudge decides by the first bytes, as many as sniffed.
type headJudge struct {
	head []byte
	test func(head []byte) bool
}

func (j *headJudge) feed(b []byte) (decided, good bool) {
	j.head = append(j.head, b[:min(len(b), sniffed-len(j.head))]...)
	if len(j.head) < sniffed {
		return false, false
	}
	return true, j.test(j.head)
}

func (j *headJudge) end() bool { return j.test(j.head) }

// pictureType returns the media type of the picture that begins with head, or "" for any other file.
func pictureType(head []byte) string {
	switch {
	case isPNG(head):
		return typePNG
	case isJPEG(head):
		return typeJPEG
	case isBMP(head):
		return typeBMP
	}
	return ""
}

// isPNG reports whether head has the signature and the header chunk (W3C PNG, sections 5.2 and 11.2.1). What follows may be an
// animation.
func isPNG(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"))
}

// isJPEG reports whether head has a start of image and a marker segment that may follow it (ITU-T T.81, table B.1). Fill bytes
// may come before a marker. The codes F0 to FD aren't among them: JPEG-LS, for example, begins with F7.
func isJPEG(head []byte) bool {
	marker, begins := bytes.CutPrefix(head, []byte("\xff\xd8\xff"))
	if !begins {
		return false
	}
	for len(marker) > 0 && marker[0] == 0xff {
		marker = marker[1:]
	}
	if len(marker) == 0 {
		return false
	}
	switch m := marker[0]; {
	case m == 0xc8, m >= 0xd0 && m <= 0xd9: // reserved; restarts, start and end of an image
		return false
	default:
		return m >= 0xc0 && m <= 0xef || m == 0xfe
	}
}

// isBMP reports whether head has a file header and an information header that browsers know: of OS/2 1.x (12 bytes), of OS/2 2.x
// (16 to 64), or of Windows (40, 52, 56, 108, 124). The header of OS/2 1.x has shorter fields.
func isBMP(head []byte) bool {
	const info = 14 // where the information header begins
	if len(head) < info+12 || string(head[:2]) != "BM" {
		return false
	}
	planesAt := info + 12
	switch size := binary.LittleEndian.Uint32(head[info:]); {
	case size == 12:
		planesAt = info + 8
	case size >= 16 && size <= 64 && (size%4 == 0 || size == 42 || size == 46), size == 108, size == 124:
	default:
		return false
	}
	if len(head) < planesAt+4 || binary.LittleEndian.Uint16(head[planesAt:]) != 1 {
		return false
	}
	switch binary.LittleEndian.Uint16(head[planesAt+2:]) { // bits of a pixel; 0 where a JPEG or PNG is inside
	case 0, 1, 2, 4, 8, 16, 24, 32:
		return true
	}
	return false
}

// isMP4 reports whether head begins with a file type box (ISO/IEC 14496-12, section 4.3) that names an MP4 which browsers play as
// video/mp4. Free space may come before the box. The box must end within head.
func isMP4(head []byte) bool {
	for {
		kind, content, rest, ok := nextBox(head)
		if !ok {
			return false
		}
		switch kind {
		case "free", "skip", "wide":
			head = rest
		case "ftyp":
			return isMP4Brand(content)
		default:
			return false
		}
	}
}

// nextBox returns the first box of a file and what follows it. ok is false if the box isn't there as a whole.
func nextBox(b []byte) (kind string, content, rest []byte, ok bool) {
	const header, largeHeader = 8, 16
	if len(b) < header {
		return "", nil, nil, false
	}
	size, begin := uint64(binary.BigEndian.Uint32(b)), header
	kind = string(b[4:header])
	if size == 1 { // the size stands behind, in 64 bits
		if len(b) < largeHeader {
			return "", nil, nil, false
		}
		size, begin = binary.BigEndian.Uint64(b[header:]), largeHeader
	}
	if size < uint64(begin) || size > uint64(len(b)) {
		return "", nil, nil, false
	}
	return kind, b[begin:size], b[size:], true
}

// isMP4Brand judges the content of a file type box: the major brand, a version, and the brands with which the file is compatible.
//
// The major brand decides where it says what the file is. M4V files and others name the brand of music as compatible, and music
// and pictures name mp42, so a compatible brand decides only where the major one is a device's or a studio's own.
func isMP4Brand(content []byte) bool {
	const brand, first = 4, 8
	if len(content) < first {
		return false
	}
	major := string(content[:brand])
	if slices.Contains(videoBrands(), major) {
		return true
	}
	if slices.Contains(otherBrands(), major) {
		return false
	}
	playable := baseBrands()
	if major[:2] == "3g" { // files of phones; only some are also MP4
		playable = []string{"mp41", "mp42"}
	}
	found := false
	for at := first; at+brand <= len(content); at += brand {
		name := string(content[at : at+brand])
		if slices.Contains(pictureBrands(), name) {
			return false
		}
		found = found || slices.Contains(playable, name)
	}
	return found
}

// baseBrands are the brands of ISO base media files and of MP4 itself.
func baseBrands() []string {
	return []string{
		"isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8", "iso9", "isoa", "isob", "isoc", "mp41", "mp42", "mp71", "avc1",
	}
}

// videoBrands are major brands of videos that browsers play: the base ones, and those of segments of a stream in one file, of
// codecs, of iTunes, Flash and Sony.
func videoBrands() []string {
	return append(baseBrands(), "dash", "dsms", "msdh", "msix", "cmfc", "cmf2", "cmff", "hvc1", "hev1", "av01", "vp09", "M4V ", "M4VH", "M4VP", "f4v ", "F4V ")
}

// otherBrands are major brands of files that aren't videos, or not for browsers, although many name an MP4 brand as compatible:
// pictures, music and audio books, QuickTime.
func otherBrands() []string {
	return append(pictureBrands(), "M4A ", "M4B ", "M4P ", "f4a ", "F4A ", "f4b ", "F4B ", "f4p ", "F4P ", "aax ", "aaxc", "qt  ", "mjp2", "mj2s", "isml", "piff")
}

// pictureBrands are those of HEIF, AVIF, JPEG XL, JPEG 2000 and of a camera's raw files.
func pictureBrands() []string {
	return []string{
		"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1", "miaf", "MiHB", "MiHE", "MiPr", "avif", "avis", "avio",
		"jpeg", "jpgs", "j2ki", "j2is", "crx ", "jxl ", "jp2 ", "jpx ", "jpm ", "jph ",
	}
}
