package schema

import (
	"unicode/utf16"
	"unicode/utf8"
)

// String reads a string. Half of a surrogate pair is refused: it could not be kept as it came.
func (r *Reader) String(field string) string {
	if r.next() != '"' {
		r.mismatch(field, "a string")
		return ""
	}
	text, escaped := r.raw()
	if !escaped {
		return text
	}
	text, whole := r.unescape(text)
	if !whole {
		r.Refuse(field, HalfSurrogate)
		return ""
	}
	return text
}

// raw reads a string as it is written, without its quotes, and reports whether there are escapes in it.
func (r *Reader) raw() (text string, escaped bool) {
	ascii := true
	from := r.at + 1
	for i := from; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			text = r.text[from:i]
			if !ascii && !utf8.ValidString(text) {
				r.at = from
				r.syntax()
				return "", false
			}
			r.at = i + 1
			return text, escaped
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			r.at = i
			r.syntax()
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.at = len(r.text)
	r.syntax()
	return "", false
}

// unescape is a string without its escapes; whole is false where half of a surrogate pair stands alone, in whose place
// comes U+FFFD. The reader stands behind the string.
func (r *Reader) unescape(text string) (plain string, whole bool) {
	start := r.at - 1 - len(text) // where the text begins
	whole = true
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		c := text[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		i++ // raw has seen to it that something follows
		if c = simple(text[i]); c != 0 {
			out = append(out, c)
			i++
			continue
		}
		unit, ok := hex4(text, i)
		if !ok {
			r.at = start + i
			r.syntax()
			return "", false
		}
		i += 5
		if utf16.IsSurrogate(unit) {
			if unit = pair(unit, text[i:]); unit == utf8.RuneError {
				whole = false
			} else {
				i += 6
			}
		}
		out = utf8.AppendRune(out, unit)
	}
	r.saved += len(text) - len(out)
	return string(out), whole
}

// pair is the character that a surrogate makes with the one that must follow it, U+FFFD where it doesn't.
func pair(first rune, rest string) rune {
	if len(rest) == 0 || rest[0] != '\\' {
		return utf8.RuneError
	}
	second, ok := hex4(rest, 1)
	if !ok {
		return utf8.RuneError
	}
	return utf16.DecodeRune(first, second)
}

// simple is the character that an escape of two bytes stands for, 0 for another.
func simple(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return 0
	}
}

// hex4 reads uXXXX.
func hex4(text string, i int) (unit rune, ok bool) {
	if i+5 > len(text) || text[i] != 'u' {
		return 0, false
	}
	for _, c := range []byte(text[i+1 : i+5]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
