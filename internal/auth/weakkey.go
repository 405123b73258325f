package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// goodKey says how to make a key. It ends the text of each refusal.
const goodKey = "make one with: head -c 32 /dev/urandom | base64"

const (
	// fewestLetters is how many different bytes a key must have. 32 random decimal digits have fewer once in ten million times.
	fewestLetters = 6
	// shortestSecret is the least number of bytes that an encoded key is checked for what it encodes.
	shortestSecret = 8
)

// CheckKey refuses a key that is too short, or that somebody could guess: one of blanks, of a text that repeats, of letters in the
// order of the alphabet, or one that stands in documentation.
func CheckKey(key string) error {
	switch trimmed := strings.TrimSpace(key); {
	case len(key) < MinKeyBytes:
		return fmt.Errorf("has %d bytes and must have at least %d; %s", len(key), MinKeyBytes, goodKey)
	case len(trimmed) < MinKeyBytes:
		return fmt.Errorf("has %d bytes without the blanks around it and must have at least %d; %s", len(trimmed), MinKeyBytes, goodKey)
	}
	for _, text := range append(decodings(key), []byte(key)) {
		if why := weakness(text); why != "" {
			return fmt.Errorf("%s, so others can guess it; %s", why, goodKey)
		}
	}
	return nil
}

// decodings are what a key is that is a text in hex or base64.
func decodings(key string) [][]byte {
	var all [][]byte
	add := func(text []byte, err error) {
		if err == nil && len(text) >= shortestSecret {
			all = append(all, text)
		}
	}
	key = strings.TrimSpace(key)
	add(hex.DecodeString(key))
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		add(encoding.DecodeString(strings.TrimRight(key, "=")))
	}
	return all
}

// weakness says why a key can be guessed, "" if it seems that it can't.
func weakness(key []byte) string {
	switch period := periodOf(key); {
	case len(bytes.TrimSpace(key)) == 0:
		return "consists of blanks"
	case period == 1:
		return "is one letter, repeated"
	case period < MinKeyBytes && period <= len(key)/2:
		return fmt.Sprintf("is a text of %d bytes, repeated", period)
	case different(key) < fewestLetters:
		return fmt.Sprintf("has only %d different letters", different(key))
	case inOrder(key):
		return "has its letters in the order of the alphabet"
	}
	if sample := sampleIn(key); sample != "" {
		return fmt.Sprintf("has %q in it, as samples do", sample[:min(len(sample), 20)])
	}
	return ""
}

// periodOf returns after how many bytes a text repeats itself, up to its end; its length if it doesn't.
func periodOf(text []byte) int {
	for period := 1; period < len(text); period++ {
		if bytes.Equal(text[period:], text[:len(text)-period]) {
			return period
		}
	}
	return len(text)
}

func different(text []byte) int {
	var seen [256]bool
	n := 0
	for _, b := range text {
		if !seen[b] {
			seen[b] = true
			n++
		}
	}
	return n
}

// inOrder tells whether most bytes of a text are the ones after, or before, those in front of them. Of random digits two in ten
// are.
func inOrder(text []byte) bool {
	steps := 0
	for i := 1; i < len(text); i++ {
		if d := int(text[i]) - int(text[i-1]); d >= -1 && d <= 1 {
			steps++
		}
	}
	return 3*steps >= 2*len(text)
}

// sampleIn returns what a key has in it that stands in documentation, "" for nothing. Case, and what is no letter or digit, don't
// count.
func sampleIn(key []byte) string {
	plain := bytes.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, key)
	for sample := range strings.FieldsSeq(samples) {
		if bytes.Contains(plain, []byte(sample)) {
			return sample
		}
	}
	return ""
}

// samples are what keys in documentation have in them, in small letters and digits: first words that ask for another key, then
// rows of a keyboard, then keys that are copied from widely read pages, of RFC 7515 and 7520, FastAPI, Spring, PostgREST and
// others. A random key has one of the shortest in it once in fifty million times.
const samples = `
changeme changethis changeit replaceme replacethis replacewith putyour insertyour enteryour setyour
yoursecret yourjwt yourkey yourown yoursuper your256bit yoursigning yourpassword
mysecretkey mysupersecret supersecret verysecret topsecret secretkey secretpassword jwtsecret jwtkey signingkey
keepitsecret keepthissecret keepsecret dontuse donotuse notforproduction samplekey examplekey exampleonly placeholder
atleast256bits atleast32 characterslong averylong
passwordpassword password123 letmein iloveyou
qwertyuiop qwertyasdf asdfghjkl zxcvbnm 1q2w3e4r 1qaz2wsx qazwsxedc
djangoinsecure somerandomstring
aym1sysppbydfgzld3umj1qzkobwvmkoqq
hjtxiz2usn5kbqfbttnwbpdmhkv8fjg
09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7
404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970
9a4f2c8d3b7a1e6f45c8a0b3f267d8b1d4e6f3c8a9d2b5f8e3a9c8b5f6v8a3d9
3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b
reallyreallyreallyreallyverysafe
`
