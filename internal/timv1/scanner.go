package timv1

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// scanner reads JSON of which the shape is known beforehand, strictly: objects, strings and small integers. Whoever uses
// it has a slower way for whatever it doesn't take, so it may refuse what is JSON, but takes nothing that isn't.
type scanner struct {
	text string // of which the strings that it takes are parts: they cost nothing
	at   int
}

// maxDigits is up to how many digits a number is exact however it is parsed.
const maxDigits = 15

// space passes over what may stand between tokens.
func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// punctuation takes one character, with the space around it.
func (s *scanner) punctuation(c byte) bool {
	s.space()
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	s.space()
	return true
}

// literal takes exactly what is given.
func (s *scanner) literal(text string) bool {
	if !strings.HasPrefix(s.text[s.at:], text) {
		return false
	}
	s.at += len(text)
	return true
}

// end reports whether nothing follows.
func (s *scanner) end() bool {
	s.space()
	return s.at == len(s.text)
}

// object takes an object that isn't empty; member takes each value, by its key as it is written.
func (s *scanner) object(member func(key string) bool) bool {
	if !s.punctuation('{') {
		return false
	}
	for {
		key, _, ok := s.raw()
		if !ok || !s.punctuation(':') || !member(key) {
			return false
		}
		if s.punctuation('}') {
			return true
		}
		if !s.punctuation(',') {
			return false
		}
	}
}

// raw takes a string as it is written, without its quotes, and reports whether there are escapes in it, of which it
// only knows where they end.
func (s *scanner) raw() (text string, escaped, ok bool) {
	if s.at == len(s.text) || s.text[s.at] != '"' {
		return "", false, false
	}
	ascii := true
	for i := s.at + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			text = s.text[s.at+1 : i]
			s.at = i + 1
			return text, escaped, ascii || utf8.ValidString(text)
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return "", false, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false, false
}

// string takes a string.
func (s *scanner) string() (string, bool) {
	from := s.at
	text, escaped, ok := s.raw()
	if ok && escaped {
		ok = json.Unmarshal([]byte(s.text[from:s.at]), &text) == nil
	}
	return text, ok
}

// stringAfter takes a string that stands behind exactly the text given.
func (s *scanner) stringAfter(before string, text *string) (ok bool) {
	if !s.literal(before) {
		return false
	}
	*text, ok = s.string()
	return ok
}

// integerAfter takes an integer that stands behind exactly the text given.
func (s *scanner) integerAfter(before string, n *int64) (ok bool) {
	if !s.literal(before) {
		return false
	}
	*n, ok = s.integer()
	return ok
}

// integer takes an integer that isn't negative.
func (s *scanner) integer() (n int64, ok bool) {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		n = n*10 + int64(s.text[s.at]-'0')
		s.at++
		if s.at-from > maxDigits {
			return 0, false
		}
	}
	digits := s.text[from:s.at]
	return n, len(digits) == 1 || len(digits) > 1 && digits[0] != '0'
}

// rest takes whatever is left.
func (s *scanner) rest() string {
	rest := s.text[s.at:]
	s.at = len(s.text)
	return rest
}
