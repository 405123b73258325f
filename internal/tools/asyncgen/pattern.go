package main

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// fewRanges is up to how many ranges of characters a class is written out as a condition.
const fewRanges = 8

// javaScript is how JSON Schema may write a character by its number, which Go writes otherwise.
var javaScript = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

func parsePattern(pattern string) (*syntax.Regexp, error) {
	re, err := syntax.Parse(goPattern(pattern), syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", pattern, err)
	}
	return re.Simplify(), nil
}

func goPattern(pattern string) string { return javaScript.ReplaceAllString(pattern, `\x{$1}`) }

// class returns the ranges of a pattern that asks of every character of a whole text the same: ^[…]+$ or ^[…]*$.
func class(re *syntax.Regexp) (ranges []rune, empty, ok bool) {
	if re.Op != syntax.OpConcat || len(re.Sub) != 3 || re.Sub[0].Op != syntax.OpBeginText || re.Sub[2].Op != syntax.OpEndText {
		return nil, false, false
	}
	many := re.Sub[1]
	if many.Op != syntax.OpPlus && many.Op != syntax.OpStar || many.Sub[0].Op != syntax.OpCharClass {
		return nil, false, false
	}
	ranges = many.Sub[0].Rune
	return ranges, many.Op == syntax.OpStar, len(ranges) <= 2*fewRanges
}

// literal is the one text that a pattern matches, if there is only one.
func literal(pattern string) (text string, ok bool) {
	re, err := parsePattern(pattern)
	if err != nil || re.Op != syntax.OpConcat || len(re.Sub) != 3 || re.Sub[0].Op != syntax.OpBeginText || re.Sub[1].Op != syntax.OpLiteral ||
		re.Sub[1].Flags&syntax.FoldCase != 0 || re.Sub[2].Op != syntax.OpEndText {
		return "", false
	}
	return string(re.Sub[1].Rune), true
}

// outside is a condition that is true of a character c outside the ranges.
func outside(ranges []rune) string {
	var parts []string
	for i := 0; i < len(ranges); i += 2 {
		low, high := ranges[i], ranges[i+1]
		switch {
		case low == high:
			parts = append(parts, fmt.Sprintf("c == %q", low))
		case high == utf8.MaxRune:
			parts = append(parts, fmt.Sprintf("c >= %#x", low))
		case low == 0:
			parts = append(parts, fmt.Sprintf("c <= %#x", high))
		default:
			parts = append(parts, fmt.Sprintf("c >= %#x && c <= %#x", low, high))
		}
	}
	return "!(" + strings.Join(parts, " || ") + ")"
}

// patternWords says what a pattern asks, as an expression of Go.
func patternWords(re *syntax.Regexp, description string) string {
	if ranges, _, ok := class(re); ok {
		switch key := fmt.Sprint(ranges); key {
		case fmt.Sprint([]rune{0x21, 0x7e}):
			return "schema.VisibleASCII"
		default:
			if controlsAlone(ranges) {
				return "schema.Control"
			}
		}
	}
	if description != "" {
		return fmt.Sprintf("schema.Described(%q)", description)
	}
	return "schema.OtherForm"
}

// controlsAlone reports whether the ranges leave out control characters and nothing else, not counting noncharacters.
func controlsAlone(ranges []rune) bool {
	in := func(c rune) bool {
		for i := 0; i < len(ranges); i += 2 {
			if c >= ranges[i] && c <= ranges[i+1] {
				return true
			}
		}
		return false
	}
	return !in('\n') && !in(0x7f) && in(' ') && in('~') && in(0xe9) && in('界') && in('😀')
}

// emitPattern writes a function that reports whether a text matches.
func (g *generator) emitPattern(name, pattern string) error {
	re, err := parsePattern(pattern)
	if err != nil {
		return err
	}
	ranges, empty, ok := class(re)
	if !ok {
		g.imports["regexp"] = true
		g.line("// %sPattern is what it must match.", name)
		g.line("var %sPattern = regexp.MustCompile(%q)\n", name, goPattern(pattern))
		g.line("func %s(text string) bool { return %sPattern.MatchString(text) }\n", name, name)
		return nil
	}
	g.line("// %s reports whether a text matches %s.", name, pattern)
	g.line("func %s(text string) bool {", name)
	if ranges[len(ranges)-1] < utf8.RuneSelf {
		g.line("for i := range len(text) {\nif c := text[i]; %s {\nreturn false\n}\n}", outside(ranges))
	} else {
		g.line("for _, c := range text {\nif %s {\nreturn false\n}\n}", outside(ranges))
	}
	if empty {
		g.line("return true\n}\n")
	} else {
		g.line("return text != \"\"\n}\n")
	}
	return nil
}

// affixes are the constant parts of a pattern before and after what varies, and whether that is a number.
func affixes(pattern string) (before, after string, number bool, err error) {
	re, err := parsePattern(pattern)
	if err != nil {
		return "", "", false, err
	}
	variable := 0
	for _, part := range re.Sub {
		switch part.Op {
		case syntax.OpBeginText, syntax.OpEndText:
		case syntax.OpLiteral:
			if variable == 0 {
				before += string(part.Rune)
			} else {
				after += string(part.Rune)
			}
		default:
			variable++
			number = part.Op == syntax.OpPlus && fmt.Sprint(part.Sub[0].Rune) == fmt.Sprint([]rune{'0', '9'})
		}
	}
	if re.Op != syntax.OpConcat || variable != 1 {
		return "", "", false, fmt.Errorf("pattern %s: must have constant parts around one that varies", pattern)
	}
	return before, after, number, nil
}
