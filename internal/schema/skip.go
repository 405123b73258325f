package schema

import "strings"

// Unknown skips the value of a field that no schema names. There may be only so many of them.
func (r *Reader) Unknown(field string) {
	r.count()
	before := r.refused
	r.Skip()
	r.Within(field, before)
}

// Surplus skips the value of a field that the schema forbids.
func (r *Reader) Surplus(field string) {
	r.Refuse(field, UnknownField)
	r.Skip()
}

// count counts a field that no schema names.
func (r *Reader) count() {
	if r.keys++; r.keys > r.most {
		r.stop("", TooManyFields)
	}
}

// Skip passes over a value, which must be JSON. One bit for each level says whether it is an object; the outer ones are
// moved aside.
func (r *Reader) Skip() { //nolint:cyclop // one case for each character that JSON may go on with
	var low uint64      // the bits of the innermost 64 levels
	var outer [2]uint64 // those of the levels before, in steps of 64
	depth := 0
	for {
		c := r.next()
		switch c {
		case '{', '[':
			r.at++
			if r.depth+depth >= MaxDepth {
				r.stop("", TooDeep)
				return
			}
			if depth%64 == 0 {
				outer[depth/64] = low
			}
			low <<= 1
			if c == '{' {
				low |= 1
			}
			depth++
			if r.skipEmpty(c) {
				break
			}
			if c == '{' {
				r.skipName()
			}
			if r.broken {
				return
			}
			continue
		case '"':
			r.skipText()
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			r.digits()
		default:
			r.word()
		}
		if c == '{' || c == '[' { // it was empty
			depth--
			low = up(low, outer, depth)
		}
		for { // a value has ended; what it is in may end, too
			if depth == 0 || r.broken {
				return
			}
			object := low&1 == 1
			end := byte(']')
			if object {
				end = '}'
			}
			c := r.next()
			if c == end {
				r.at++
				depth--
				low = up(low, outer, depth)
				continue
			}
			if c != ',' {
				r.syntax()
				return
			}
			r.at++
			if object {
				r.skipName()
			}
			break
		}
	}
}

// up is the bits of the levels that are left when one has ended.
func up(low uint64, outer [2]uint64, depth int) uint64 {
	if depth%64 == 0 {
		return outer[depth/64]
	}
	return low >> 1
}

// skipEmpty passes over the end of an object or array that has just begun, if it comes next.
func (r *Reader) skipEmpty(bracket byte) bool {
	if r.next() == bracket+2 { // so it is in ASCII for both
		r.at++
		return true
	}
	return false
}

// skipName passes over a name and its colon.
func (r *Reader) skipName() {
	if r.next() != '"' {
		r.syntax()
		return
	}
	r.skipText()
	if r.count(); r.next() != ':' {
		r.syntax()
		return
	}
	r.at++
}

// skipText passes over a string.
func (r *Reader) skipText() {
	for i := r.at + 1; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.at = i + 1
			return
		case c < ' ':
			r.at = i
			r.syntax()
			return
		case c == '\\':
			i++
			if i < len(r.text) && simple(r.text[i]) == 0 {
				if _, ok := hex4(r.text, i); !ok {
					r.at = i
					r.syntax()
					return
				}
				i += 4
				r.saved += 3 // at least
			}
		}
	}
	r.at = len(r.text)
	r.syntax()
}

// word passes over true, false or null; whatever else is no JSON.
func (r *Reader) word() {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(r.text[r.at:], word) {
			r.at += len(word)
			return
		}
	}
	r.syntax()
}
