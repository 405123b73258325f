package schema

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// exactly is up to where every integer is a float64.
const exactly = 1 << 53

// Integer reads an integer from low to high; 1e3 and 2.0 are such. bounded says that the schema has a bound, and not only
// the format.
func (r *Reader) Integer(field string, low, high int64, bounded bool) int64 {
	literal, ok := r.number(field)
	n := int64(0)
	if ok {
		n, ok = integerOf(literal)
	}
	switch {
	case ok && n >= low && n <= high:
		return n
	case bounded:
		r.Refuse(field, Integer(low, high))
	default:
		r.Refuse(field, AnyInteger())
	}
	return 0
}

// Number is a number of JSON in the one spelling in which it is stored.
type Number string

// Number reads a number from low to high. bounded says that the schema has a bound.
func (r *Reader) Number(field string, low, high float64, bounded bool) Number {
	literal, ok := r.number(field)
	f := 0.0
	if ok {
		var err error
		f, err = strconv.ParseFloat(literal, 64)
		ok = err == nil
	}
	switch {
	case ok && f >= low && f <= high:
		return Number(normal(literal))
	case bounded:
		r.Refuse(field, Real(low, high))
	default:
		r.Refuse(field, AnyReal())
	}
	return "0"
}

// Float is what a number is to a program.
func (n Number) Float() float64 {
	f, _ := strconv.ParseFloat(string(n), 64) // it was parsed before
	return f
}

// number reads a number as it is written. Null is refused here, anything else is skipped.
func (r *Reader) number(field string) (literal string, ok bool) {
	c := r.next()
	if c != '-' && (c < '0' || c > '9') {
		if c == 'n' {
			r.Refuse(field, NotNull)
		}
		r.Skip()
		return "", false
	}
	from := r.at
	if !r.digits() {
		return "", false
	}
	return r.text[from:r.at], true
}

// digits passes over a number, which begins here.
func (r *Reader) digits() bool {
	if r.text[r.at] == '-' {
		r.at++
	}
	switch {
	case r.at < len(r.text) && r.text[r.at] == '0':
		r.at++
	default:
		if !r.some() {
			return false
		}
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		r.at++
		if !r.some() {
			return false
		}
	}
	if r.at < len(r.text) && (r.text[r.at] == 'e' || r.text[r.at] == 'E') {
		r.at++
		if r.at < len(r.text) && (r.text[r.at] == '+' || r.text[r.at] == '-') {
			r.at++
		}
		return r.some()
	}
	return true
}

// some passes over digits, of which there must be some.
func (r *Reader) some() bool {
	from := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	if r.at == from {
		r.syntax()
		return false
	}
	return true
}

// integerOf is the integer that a number is, if it is one of 64 bits.
func integerOf(literal string) (int64, bool) {
	n, plain := int64(0), len(literal) <= 18 // so many digits always fit
	for i := 0; plain && i < len(literal); i++ {
		c := literal[i]
		plain = c >= '0' && c <= '9'
		n = n*10 + int64(c-'0')
	}
	if plain {
		return n, true
	}
	if !strings.ContainsAny(literal, ".eE") {
		n, err := strconv.ParseInt(literal, 10, 64)
		return n, err == nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	switch {
	case err != nil || f != math.Trunc(f) || math.Abs(f) > math.MaxInt64:
		return 0, false
	case math.Abs(f) <= exactly:
		return int64(f), true
	}
	exact, _, err := big.ParseFloat(literal, 10, 128, big.ToZero)
	if err != nil || !exact.IsInt() {
		return 0, false
	}
	n, accuracy := exact.Int64()
	return n, accuracy == big.Exact
}

// normal is a number, which fits a float64, in the spelling in which it is stored: integers of 64 bits are written as
// such; all others stay as they came.
func normal(literal string) string {
	if !strings.ContainsAny(literal, ".eE") {
		if literal == "-0" {
			return "0"
		}
		return literal
	}
	if n, ok := integerOf(literal); ok {
		return strconv.FormatInt(n, 10)
	}
	return literal
}

// NumberOf is a finite number as [Number] has it.
func NumberOf(f float64) Number {
	if f == math.Trunc(f) && math.Abs(f) <= exactly {
		return Number(strconv.FormatInt(int64(f), 10))
	}
	return Number(strconv.FormatFloat(f, 'g', -1, 64))
}
