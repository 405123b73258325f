// Package account has the rules for the spelling of accounts and names. Every other package takes them from here. Its
// functions are safe for concurrent use.
//
//	account.go  what an account may be
//	name.go     what a display name, a group's name or a file's name may be
//	look.go     which accounts look alike
package account

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The most characters (code points, after normalisation) of what is registered or changed. Rows of a database that was taken
// over may have more.
const (
	MaxNew       = 64  // of a new account
	MaxName      = 100 // of a display name
	MaxGroupName = 50  // of a group's name
)

// Everyone is what a client of the contract's chat socket writes to in order to address everybody. No account may be called so.
const Everyone = "all"

// Normal returns an account in its one spelling, Unicode's NFC (UAX #15). The database stores accounts in it, and accounts in
// it are the same exactly if their bytes are.
func Normal(account string) string { return norm.NFC.String(account) }

// NormalName returns a display name, or a group's name, in the one spelling in which NewName stores it, if it is one.
func NormalName(name string) string {
	name, _ = clean(strings.TrimFunc(name, around))
	return strings.TrimFunc(name, around)
}

// Valid reports whether a text can be an account at all: it is UTF-8, not empty, and has no control characters (Cc). This is
// the pattern of the schema Account in api/openapi.yaml, without its limit.
func Valid(account string) bool {
	return account != "" && utf8.ValidString(account) && !strings.ContainsFunc(account, unicode.IsControl)
}

// NewForm says in English what ValidNew demands, as the end of a sentence that begins with "must be".
const NewForm = "1 to 64 letters and digits of any script and `_ . - @`, the first a letter or digit, with or without a `+` before it; not `all`, which addresses everyone"

var newPattern = regexp.MustCompile(`^\+?[\p{L}\p{N}][\p{L}\p{M}\p{N}_.@-]*$`)

// ValidNew reports whether an account, in its normal spelling, may be registered. The schema NewAccount in api/openapi.yaml
// may be wider, since generated clients don't all know Unicode's classes in patterns; this is the rule that holds.
func ValidNew(account string) bool {
	return utf8.RuneCountInString(account) <= MaxNew && account != Everyone && newPattern.MatchString(account) &&
		!strings.ContainsFunc(account, showsNothing)
}
