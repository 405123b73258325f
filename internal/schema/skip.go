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

// Skip passes over a value, which must be JSON. It uses no recursion, so that it needs no more stack for a deep value.
func (r *Reader) Skip() {
	var n nesting
	for more := true; more; {
		more = r.skipInto(&n) || r.skipNext(&n)
	}
}

// skipInto passes over a value, or over the beginning of an object or array that isn't empty, and reports whether it was that.
func (r *Reader) skipInto(n *nesting) (inside bool) {
	switch c := r.next(); c {
	case '{', '[':
		if r.depth+n.depth >= MaxDepth {
			r.stop("", TooDeep)
			return false
		}
		r.at++
		if r.next() == c+2 { // the bracket that closes it, in ASCII
			r.at++
			return false
		}
		n.push(c == '{')
		if c == '{' {
			r.skipName()
		}
		return !r.broken
	case '"':
		r.skipText()
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		r.digits()
	default:
		r.word()
	}
	return false
}

// skipNext passes over what follows a value, up to the next one, and reports whether there is one.
func (r *Reader) skipNext(n *nesting) bool {
	for n.depth > 0 && !r.broken {
		end := byte(']')
		if n.object() {
			end = '}'
		}
		switch r.next() {
		case end:
			r.at++
			n.pop()
		case ',':
			r.at++
			if n.object() {
				r.skipName()
			}
			return !r.broken
		default:
			r.syntax()
		}
	}
	return false
}

// nesting is what a value that is being skipped lies in: one bit for each level, which says whether it is an object.
type nesting struct {
	low   uint64    // of the innermost 64 levels
	outer [2]uint64 // of those before, in steps of 64: MaxDepth needs one
	depth int
}

func (n *nesting) push(object bool) {
	if n.depth%64 == 0 {
		n.outer[n.depth/64] = n.low
	}
	n.low <<= 1
	if object {
		n.low |= 1
	}
	n.depth++
}

func (n *nesting) pop() {
	n.depth--
	n.low >>= 1
	if n.depth%64 == 0 {
		n.low = n.outer[n.depth/64]
	}
}

func (n *nesting) object() bool { return n.low&1 == 1 }

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
