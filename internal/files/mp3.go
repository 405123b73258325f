package files

import (
	"bytes"

	"github.com/gabriel-vasile/mimetype"
)

const (
	// maxTags bounds the tags before the music. Tools write one, sometimes two.
	maxTags = 8
	// maxPadding bounds the zero bytes before the music, which some tools leave behind a tag.
	maxPadding = 1 << 20
	// maxJunk bounds other bytes before the first frame: the rest of a frame where a recording was cut, or what a tool left behind
	// its tag.
	maxJunk = 4 << 10
	// frameWindow is how many bytes are looked at for frames: the junk and three of the largest.
	frameWindow = maxJunk + 3*maxFrame + mp3Header
	// maxFrame is the largest frame: one of free format. The tables end at 1,441 bytes.
	maxFrame  = 4 << 10
	mp3Header = 4
	tagHeader = 32 // the longer one, of an APE tag
)

// mp3Judge finds the first frames of MPEG audio, layer III (ISO/IEC 11172-3 and 13818-3), behind any tags. One header proves
// little, since text and other formats may have its 11 bits set, so the next frame must begin where the first one ends.
type mp3Judge struct {
	skip   int64 // bytes of a tag still to come
	tags   int
	padded int
	window []byte // what follows the tags and the padding
}

func (j *mp3Judge) feed(b []byte) (decided, good bool) {
	for len(b) > 0 {
		if j.skip > 0 {
			n := min(j.skip, int64(len(b)))
			b, j.skip = b[n:], j.skip-n
			continue
		}
		n := min(len(b), frameWindow-len(j.window))
		j.window, b = append(j.window, b[:n]...), b[n:]
		if !j.pass(false) {
			return true, false
		}
		if len(j.window) == frameWindow {
			return true, hasFrames(j.window, false)
		}
	}
	return false, false
}

func (j *mp3Judge) end() bool { return j.pass(true) && hasFrames(j.window, true) }

// pass drops tags and padding from the beginning of the window. It returns false if there are too many.
func (j *mp3Judge) pass(ended bool) bool {
	for j.skip == 0 {
		music := bytes.TrimLeft(j.window, "\x00")
		if n := len(j.window) - len(music); n > 0 {
			j.padded += n
			j.window = append(j.window[:0], music...)
		}
		if j.padded > maxPadding || j.tags > maxTags {
			return false
		}
		if len(j.window) < tagHeader && !ended {
			return true
		}
		size := tagSize(j.window)
		if size == 0 {
			return true
		}
		j.tags++
		n := min(size, int64(len(j.window)))
		j.window, j.skip = append(j.window[:0], j.window[n:]...), size-n
	}
	return true
}

// tagSize returns the size of the tag with which b begins, or 0: of ID3v2 (id3.org/id3v2.4.0-structure, section 3.1; the older
// versions have the same header) or of APE at the beginning of a file.
func tagSize(b []byte) int64 {
	const id3, footerFlag, footerSince = 10, 0x10, 4
	switch {
	case len(b) >= id3 && string(b[:3]) == "ID3" && b[3] != 0xff && b[4] != 0xff:
		size := int64(0)
		for _, part := range b[6:id3] {
			if part > 0x7f {
				return 0
			}
			size = size<<7 | int64(part)
		}
		if b[3] >= footerSince && b[5]&footerFlag != 0 {
			size += id3
		}
		return id3 + size
	case len(b) >= tagHeader && string(b[:8]) == "APETAGEX":
		size := int64(b[12]) | int64(b[13])<<8 | int64(b[14])<<16 | int64(b[15])<<24 // without the header
		return tagHeader + size
	}
	return 0
}

// hasFrames reports whether b begins with frames, or with junk and then frames. ended says that the file has no more than b.
func hasFrames(b []byte, ended bool) bool {
	if follow(b, ended, true) >= 2 {
		return true
	}
	for at := 1; at <= maxJunk && at < len(b); at++ {
		if b[at] == 0xff && follow(b[at:], ended, false) >= 3 {
			return isJunk(b[:at])
		}
	}
	return false
}

// isJunk reports whether bytes before the first frame are of no known format: videos and others contain such frames. Browsers
// take what begins like a page for one, whatever follows.
func isJunk(b []byte) bool {
	text := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(text, []byte("<")) || bytes.HasPrefix(b, []byte("ID3")) {
		return false
	}
	kind := mimetype.Detect(b)
	return kind.Is("application/octet-stream") || kind.Is("audio/mpeg")
}

// follow returns how many frames, 3 at most, follow one another from the beginning of b. One that ends with the file, or before a
// tag at the file's end, counts twice: nothing can follow it. Frames of free format, which must be searched for, count if free is
// true.
func follow(b []byte, ended, free bool) int {
	if len(b) < mp3Header {
		return 0
	}
	first, count := [mp3Header]byte(b), 0
	for rest := b; count < 3; count++ {
		if len(rest) < mp3Header || !sameStream(first, [mp3Header]byte(rest)) {
			if count > 0 && (ended && len(rest) == 0 || isEndTag(rest)) {
				count++
			}
			break
		}
		size := frameSize([mp3Header]byte(rest))
		if size == 0 && free {
			size = freeFrameSize(rest)
		}
		if size == 0 || size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return count
}

func isEndTag(b []byte) bool {
	for _, name := range []string{"TAG", "APETAGEX", "LYRICSBEGIN", "3DI", "ID3"} {
		if bytes.HasPrefix(b, []byte(name)) {
			return true
		}
	}
	return false
}

// isFrame reports whether a header is one of layer III: without reserved values, and with its 11 bits of synchronisation.
func isFrame(h [mp3Header]byte) bool {
	const version, layer = 0x18, 0x06
	return h[0] == 0xff && h[1]&0xe0 == 0xe0 && h[1]&version != 0x08 && h[1]&layer == 0x02 &&
		h[2]>>4 != 0xf && h[2]&0x0c != 0x0c && h[3]&0x03 != 0x02
}

// sameStream reports whether both are frames and have the same version and sampling rate.
func sameStream(a, b [mp3Header]byte) bool {
	return isFrame(a) && isFrame(b) && a[1]&^1 == b[1]&^1 && a[2]&0x0c == b[2]&0x0c
}

// frameSize returns the size of a frame by its header, or 0 for free format.
func frameSize(h [mp3Header]byte) int {
	kbits := [2][15]int{
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	}
	rates := [4][3]int{{11025, 12000, 8000}, {}, {22050, 24000, 16000}, {44100, 48000, 32000}} // by the two bits of the version
	version, padding := h[1]>>3&3, int(h[2]>>1&1)
	full := 0
	if version == 3 { // MPEG-1 has frames of twice as many samples
		full = 1
	}
	rate := rates[version][h[2]>>2&3]
	bits := kbits[full][h[2]>>4]
	if bits == 0 {
		return 0
	}
	return 72*(1+full)*bits*1000/rate + padding
}

// freeFrameSize returns the size of a frame of free format, which is the distance to the next one with the same header, or 0.
func freeFrameSize(b []byte) int {
	const smallest = 24
	first := [mp3Header]byte(b)
	for at := smallest; at <= maxFrame && at+mp3Header <= len(b); at++ {
		if next := [mp3Header]byte(b[at:]); sameStream(first, next) && first[2]>>4 == next[2]>>4 {
			return at
		}
	}
	return 0
}
