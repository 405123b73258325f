package account

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Look is what an account looks like, as two hashes of 22 characters. Two accounts can be taken for each other if either of the
// hashes is the same in both.
type Look struct {
	// Folded is that of the account in small letters: it is the same for Alice and alice.
	Folded string
	// Cased is that of the account as it is written, then in small letters: it is the same for aIice (with an I) and alice.
	Cased string
}

// LookOf returns what an account looks like: the skeleton of UTS #39, after differences of width (NFKC) and case are taken away.
// Accents stay.
func LookOf(account string) Look {
	text := norm.NFKC.String(account)
	return Look{Folded: Digest(skeleton(fold(text))), Cased: Digest(skeleton(fold(skeleton(text))))}
}

// fold takes the differences of case away, letter by letter: a letter that case alone makes two, such as ß and SS, stays.
func fold(text string) string {
	return norm.NFKC.String(strings.Map(func(r rune) rune {
		first := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			first = min(first, next)
		}
		return unicode.ToLower(first)
	}, text))
}

// Digest returns a hash of 22 characters.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// skeleton returns a text with each character replaced by the one that it looks like. Texts that look alike have the same skeleton.
func skeleton(text string) string {
	var out strings.Builder
	for _, r := range norm.NFD.String(text) {
		if !isIgnorable(r) {
			resemble(&out, r)
		}
	}
	return norm.NFD.String(out.String())
}

// confusables is a table of characters that look alike, in lines that are sorted by the character (see internal/tools/confusables).
//
//go:embed confusables.txt
var confusables string

// resemble writes what a character looks like. It finds the character's line by bisection, so the table needs no memory beside
// its text.
func resemble(out *strings.Builder, r rune) {
	key := strings.ToUpper(strconv.FormatInt(int64(r), 16))
	key = "000000"[min(len(key), 6):] + key
	low, high := 0, len(confusables)
	for low < high {
		begin := low + (high-low)/2
		begin = strings.LastIndexByte(confusables[:begin], '\n') + 1
		line, _, _ := strings.Cut(confusables[begin:], "\n")
		code, alike, _ := strings.Cut(line, " ")
		switch {
		case code == key:
			for one := range strings.FieldsSeq(alike) {
				c, _ := strconv.ParseInt(one, 16, 32) // a test reads every line
				out.WriteRune(rune(c))
			}
			return
		case code < key:
			low = begin + len(line) + 1
		default:
			high = begin
		}
	}
	out.WriteRune(r)
}

// Reserved is a set of accounts that nobody may register, nor any that looks like one of them.
type Reserved struct{ looks map[string]bool }

// Reserve returns the set of these accounts.
func Reserve(accounts []string) Reserved {
	looks := make(map[string]bool, 2*len(accounts))
	for _, account := range accounts {
		look := LookOf(withoutSeparators(account))
		looks[look.Folded], looks[look.Cased] = true, true
	}
	return Reserved{looks}
}

// Has reports whether an account is reserved. Separators don't count: `ad.min` looks like `admin`.
func (r Reserved) Has(account string) bool {
	look := LookOf(withoutSeparators(account))
	return r.looks[look.Folded] || r.looks[look.Cased]
}

func withoutSeparators(account string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("_.-@+", r) {
			return -1
		}
		return r
	}, account)
}
