package account

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// NewNameForm says in English what NewName demands, as the end of a sentence that begins with "must".
const NewNameForm = "show something, and hold no control characters and none that turn the direction of writing"

// NewName returns a display name or a group's name as it is stored: in NFC, without characters that show nothing and without
// spaces around it. problem is "", or says what the name must be, as the end of a sentence that begins with the field: it must
// show something, hold neither control characters nor any that turn the direction of the text around it, and have at most so
// many characters. Characters without a width stay where writing needs them: joiners within emoji and within words of scripts
// whose letters join, variation selectors and tags behind what they vary.
func NewName(text string, most int) (name, problem string) {
	if !utf8.ValidString(text) {
		return "", "must " + NewNameForm
	}
	_, forbidden := clean(strings.TrimFunc(text, around))
	name = NormalName(text)
	switch {
	case forbidden, !strings.ContainsFunc(name, shows):
		return "", "must " + NewNameForm
	case utf8.RuneCountInString(name) > most:
		return "", fmt.Sprintf("must have at most %d characters", most)
	}
	return name, ""
}

// Label returns a text that is shown in one line and that nobody chose as a name, such as that of a device: cleaned as a name is,
// never refused, and cut after so many characters.
func Label(text string, most int) string {
	label := NormalName(strings.ToValidUTF8(text, "\uFFFD"))
	if runes := []rune(label); len(runes) > most {
		label = NormalName(string(runes[:most]))
	}
	return label
}

// MaxFileName is the most bytes of a file's name: what file systems take.
const MaxFileName = 255

// mostExtension is the most bytes of an extension that a clipped file name keeps.
const mostExtension = 16

// FileName returns a file's name under which a client can save it: in NFC, the last part of a path, without control characters,
// characters that turn the direction of writing and characters that show nothing, and at most 255 bytes, of which a short
// extension is kept. It is "" for a name of which nothing is left.
func FileName(text string) string {
	name := strings.ToValidUTF8(text, "\uFFFD")
	name = strings.TrimRight(strings.TrimFunc(name, around), `/\`)
	name = NormalName(name[strings.LastIndexAny(name, `/\`)+1:])
	if strings.Trim(name, ". ") == "" || !strings.ContainsFunc(name, shows) {
		return ""
	}
	if len(name) <= MaxFileName {
		return name
	}
	extension := path.Ext(name)
	if len(extension) > mostExtension {
		extension = ""
	}
	stem := name[:MaxFileName-len(extension)]
	for !utf8.ValidString(stem) { // the cut was within a character
		stem = stem[:len(stem)-1]
	}
	return strings.TrimFunc(norm.NFC.String(stem+extension), around)
}

// mostMarks is the most marks on one letter, more than any language writes. Further ones would grow over the lines around a name.
const mostMarks = 8

// clean returns a text in NFC without what names can't have: forbidden characters, and those that show nothing and do nothing where
// they stand. forbidden reports whether there were any of the former.
//
// Marks that come together when something between them goes may change their order, so it goes on until nothing more goes.
func clean(text string) (cleaned string, forbidden bool) {
	for cleaned = norm.NFC.String(text); ; {
		given := []rune(cleaned)
		kept := make([]rune, 0, len(given))
		marks := 0
		for i, r := range given {
			if unicode.Is(unicode.M, r) {
				marks++
			} else if !isIgnorable(r) {
				marks = 0
			}
			switch {
			case isForbidden(r):
				forbidden = true
			case marks <= mostMarks && (!isIgnorable(r) || isNeeded(r, kept, given[i+1:])):
				kept = append(kept, r)
			}
		}
		if len(kept) == len(given) {
			return cleaned, forbidden
		}
		cleaned = norm.NFC.String(string(kept))
	}
}

// isForbidden reports whether no name may hold a character: controls, ends of lines, what turns the direction of the text around
// it, and what Unicode says is no character.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' ||
		r&0xfffe == 0xfffe || r >= '\ufdd0' && r <= '\ufdef'
}

// isIgnorable reports whether a character has no width, or is a filler: Unicode's Default_Ignorable_Code_Point, and the marks of
// interlinear annotation.
func isIgnorable(r rune) bool {
	if unicode.Is(unicode.Cf, r) {
		visible := unicode.Is(unicode.Prepended_Concatenation_Mark, r) || unicode.Is(unicode.Egyptian_Hieroglyphs, r)
		return !visible
	}
	return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// showsNothing reports whether a character that counts as a letter, digit, mark or symbol shows nothing.
func showsNothing(r rune) bool { return isIgnorable(r) || isBlank(r) }

// isBlank reports whether a character has a width and shows nothing, and yet is no space to Unicode.
func isBlank(r rune) bool {
	switch r {
	case '\u2800', '\ufffc', '\U0001d159', '\U00013441', '\U00013442': // Braille, an object, a note head, Egyptian blanks
		return true
	default:
		return false
	}
}

// around reports whether a character is cut off at both ends of a name.
func around(r rune) bool { return unicode.IsSpace(r) || isBlank(r) }

func shows(r rune) bool {
	return !showsNothing(r) && unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S)
}

const (
	nonJoiner  = '\u200c'
	joiner     = '\u200d'
	blackFlag  = '\U0001f3f4'
	emojiStyle = '\ufe0f'
	keycap     = '\u20e3'
)

// isNeeded reports whether an ignorable character does something between those before it, which are kept, and those after it.
func isNeeded(r rune, before, after []rune) bool {
	if len(before) == 0 || isBlank(before[len(before)-1]) {
		return false
	}
	last, next := before[len(before)-1], rune(0)
	if len(after) > 0 {
		next = after[0]
	}
	switch {
	case r == nonJoiner:
		return isVirama(last) || joins(base(before)) && joins(next)
	case r == joiner:
		return isVirama(last) || joins(base(before)) || joinsEmoji(last, next)
	case isTag(r):
		return last == blackFlag || isTag(last)
	default:
		return unicode.Is(unicode.Variation_Selector, r) && varies(last, r)
	}
}

// joinsEmoji reports whether a joiner between two characters makes one emoji of them.
func joinsEmoji(last, next rune) bool {
	return isEmoji(last) && unicode.In(next, unicode.So, unicode.Sm) && !isBlank(next)
}

// varies reports whether a variation selector may choose a form of a character.
func varies(last, selector rune) bool {
	switch {
	case isIgnorable(last):
		return false
	case selector >= 0xe0100: // of ideographs
		return unicode.Is(unicode.Han, last)
	case selector >= 0xfe00:
		return last == 'ℹ' || unicode.In(last, unicode.S, unicode.N, unicode.P, unicode.Han, unicode.Myanmar, unicode.Phags_Pa, unicode.Manichaean)
	default:
		return unicode.Is(unicode.Mongolian, last) && unicode.IsLetter(last)
	}
}

// isVirama reports whether a mark takes the vowel from a letter, behind which joiners choose between forms (RFC 5892, appendix A).
func isVirama(r rune) bool {
	const ccc = 9 // Unicode's combining class of viramas
	return unicode.Is(unicode.M, r) && norm.NFC.PropertiesString(string(r)).CCC() == ccc
}

// joins reports whether a letter is of a script whose letters join.
func joins(r rune) bool {
	return unicode.IsLetter(r) && unicode.In(r, unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko, unicode.Mandaic, unicode.Phags_Pa,
		unicode.Manichaean, unicode.Psalter_Pahlavi, unicode.Hanifi_Rohingya, unicode.Adlam, unicode.Sogdian, unicode.Chorasmian)
}

// base returns the last character that is no mark, 0 if there is none.
func base(text []rune) rune {
	for _, r := range slices.Backward(text) {
		if !unicode.Is(unicode.M, r) {
			return r
		}
	}
	return 0
}

// isEmoji reports whether an emoji may end with a character.
func isEmoji(r rune) bool {
	return unicode.In(r, unicode.So, unicode.Sm, unicode.Sk) || r == emojiStyle || r == keycap || isTag(r)
}

func isTag(r rune) bool { return r >= 0xe0020 && r <= 0xe007f }
