// Package schema is the one validator of both faces: what a REST body and a socket's frame go through. The decoders in
// gen/sockets and gen/bodies, which are generated from the specs, read with it, and it has the words for every problem.
//
//	reader.go    the reader: objects, fields, problems
//	text.go      strings: escapes, surrogates, UTF-8
//	number.go    numbers, and which of them fit
//	skip.go      passing over values: unknown fields, and values of a wrong type
//	free.go      values without a schema (the data of custom bodies), in the one spelling in which they are stored
//	lenient.go   converting what the original's front ends send
//	append.go    writing JSON
//	words.go     the wording of each problem
package schema

import (
	"errors"
	"strconv"
	"strings"

	"tim/internal/fault"
)

const (
	// MaxDepth is how deep JSON may be nested.
	MaxDepth = 100
	// MaxKeys is how many fields may be there that no schema names, those within a message's free data included.
	MaxKeys = 1000
	// maxAhead is how many fields [Reader.Peek] may pass over. Those of known fields are among them: a sync has up to 3,003.
	maxAhead = 3100
	// maxField bounds the name of a refused field, in bytes: a client may have chosen it.
	maxField = 200
)

// Reader reads one JSON value, once, from its beginning to its end. It goes on after a problem: only the first one counts,
// but the rest must be JSON, and a frame's id may come later. After a syntax error it reads nothing any more. The strings
// that it returns are parts of the text wherever they hold no escapes. Of a field that is there twice the last one counts,
// and both must be good. It is not safe for concurrent use.
type Reader struct {
	text string
	at   int

	first  bool // an object or array has just been opened
	broken bool // it is no JSON; wrong says where
	wrong  int
	early  bool // it ends too early
	more   bool // something follows the value
	over   bool // there is too much of something: the rest is not read, and may be anything

	refused        bool
	field, problem string // the first problem

	depth int
	keys  int // fields that no schema names
	most  int // of keys
	saved int // how many bytes the text would be shorter without escapes
}

// NewReader returns a reader of a text, which must be UTF-8.
func NewReader(text string) Reader { return Reader{text: text, most: MaxKeys} }

// Refuse notes what is wrong with a field, unless something else was before.
func (r *Reader) Refuse(field, problem string) {
	if !r.refused {
		r.refused, r.field, r.problem = true, field, problem
	}
}

// Refused reports whether there is a problem. Pass it to [Reader.Within] after a part was read.
func (r *Reader) Refused() bool { return r.refused }

// Within names the field in which a part was read, if there was no problem before and there is one now.
func (r *Reader) Within(field string, before bool) {
	if before == r.refused {
		return
	}
	if r.field == "" {
		r.field = field
	} else {
		r.field = field + "." + r.field
	}
}

// WithinItem is [Reader.Within] for an element of an array.
func (r *Reader) WithinItem(i int, before bool) {
	if before != r.refused {
		r.Within(strconv.Itoa(i), before)
	}
}

// Broken reports whether what was read up to now is no JSON.
func (r *Reader) Broken() bool { return r.broken && !r.over }

// stop refuses what there is too much of, and reads nothing any more, be the rest JSON or not: it could be long.
func (r *Reader) stop(field, problem string) {
	r.Refuse(field, problem)
	if !r.broken {
		r.broken, r.over = true, true
	}
	r.at = len(r.text)
}

// Size is how many bytes the text has if no character is escaped. It is known at the end.
func (r *Reader) Size() int { return len(r.text) - r.saved }

// End reads to the end of the text and returns what is wrong with it: a [fault.Fault] for malformed JSON, or for the
// first field that is refused. A problem of the whole value is of the field root.
func (r *Reader) End(root string) error {
	if r.space(); !r.broken && r.at < len(r.text) {
		r.broken, r.more = true, true
	}
	switch {
	case r.broken && r.over: // refused, see below
	case r.more:
		return fault.Invalid(fault.MalformedJSON, root, OneValue)
	case r.early:
		return fault.Invalid(fault.MalformedJSON, root, EndsEarly)
	case r.broken:
		return fault.Invalid(fault.MalformedJSON, root, NoJSON(r.wrong+1))
	}
	if !r.refused {
		return nil
	}
	field := r.field
	if field == "" {
		field = root
	}
	return fault.Invalid(fault.InvalidBody, Shortened(field), r.problem)
}

// Shortened is at most as much of a text as an answer may repeat.
func Shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxField)], "")
}

// syntax notes that the text is no JSON from here on.
func (r *Reader) syntax() {
	if !r.broken {
		r.broken, r.wrong, r.early = true, r.at, r.at >= len(r.text)
	}
	r.at = len(r.text)
}

// space passes over what may stand between tokens.
func (r *Reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// next passes over space and returns the byte that follows, 0 at the end.
func (r *Reader) next() byte {
	if r.at < len(r.text) && r.text[r.at] > ' ' {
		return r.text[r.at]
	}
	r.space()
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

// Object begins an object, whose fields [Reader.Field] then reads. Anything else is refused, and skipped.
func (r *Reader) Object(field string) bool { return r.open('{', field, "an object") }

// Array begins an array, whose elements [Reader.Item] then reads. Anything else is refused, and skipped.
func (r *Reader) Array(field string) bool { return r.open('[', field, "an array") }

func (r *Reader) open(bracket byte, field, kind string) bool {
	if r.next() != bracket {
		r.mismatch(field, kind)
		return false
	}
	if r.depth >= MaxDepth { // schemas aren't that deep; but nothing that is read by recursion may be
		r.stop(field, TooDeep)
		return false
	}
	r.at++
	r.first = true
	r.depth++
	return true
}

// Field reads the next field's name, and false at the object's end. The caller reads the value.
func (r *Reader) Field() (name string, ok bool) {
	name, _, ok = r.name()
	return name, ok
}

// name is Field, and reports whether no half of a surrogate pair is in the name.
func (r *Reader) name() (name string, whole, ok bool) {
	if !r.element('}') {
		return "", false, false
	}
	if r.next() != '"' {
		r.syntax()
		return "", false, false
	}
	name, escaped := r.raw()
	whole = true
	if escaped {
		name, whole = r.unescape(name)
	}
	if r.next() != ':' {
		r.syntax()
	}
	r.at = min(r.at+1, len(r.text))
	return name, whole, !r.broken
}

// Item reports whether another element follows, and false at the array's end. The caller reads the value.
func (r *Reader) Item() bool { return r.element(']') }

func (r *Reader) element(end byte) bool {
	c := r.next()
	first := r.first
	r.first = false
	switch {
	case r.broken:
		return false
	case c == end:
		r.at++
		r.depth--
		return false
	case first:
		return true
	case c != ',':
		r.syntax()
		return false
	default:
		r.at++
		return true
	}
}

// Null reads null, and reports whether it was there.
func (r *Reader) Null() bool {
	if r.next() == 'n' && strings.HasPrefix(r.text[r.at:], "null") {
		r.at += len("null")
		return true
	}
	return false
}

// Bool reads true or false.
func (r *Reader) Bool(field string) bool {
	c := r.next()
	if c != 't' && c != 'f' {
		r.mismatch(field, "a boolean")
		return false
	}
	r.word()
	return c == 't'
}

// mismatch refuses a value that isn't of the kind that it must be, and skips it.
func (r *Reader) mismatch(field, kind string) {
	switch {
	case r.broken:
	case r.next() == 'n':
		r.Refuse(field, NotNull)
	default:
		r.Refuse(field, Must(kind))
	}
	r.Skip()
}

// Peek returns the string that a field of the object ahead has, the first time that it is there, without reading the
// object: "" where there is none. object reports whether it is one at all, and found whether the field is there and a
// string. The other fields are looked at only if they come before, and only so many of them.
func (r *Reader) Peek(field string) (value string, object, found bool) {
	if r.next() != '{' {
		return "", false, false
	}
	ahead := *r
	ahead.at++
	ahead.first, ahead.keys, ahead.most = true, 0, maxAhead
	for own := 1; ; own++ {
		name, ok := ahead.Field()
		if own > MaxKeys { // no object has so many fields of its own that a schema names
			ahead.stop("", TooManyFields)
		}
		if ahead.over {
			r.stop(ahead.field, ahead.problem)
		}
		if !ok {
			return "", true, false
		}
		if ahead.count(); name == field {
			if ahead.next() != '"' {
				return "", true, false
			}
			value = ahead.String(field)
			return value, true, !ahead.broken
		}
		ahead.Skip()
	}
}

// NoKind reads the object ahead, which says by a field of which kind it is, after [Reader.Peek] has found none of the
// kinds, and refuses it.
func (r *Reader) NoKind(field string, kinds ...string) {
	if !r.Object("") {
		return
	}
	there := false
	for name, ok := r.Field(); ok; name, ok = r.Field() {
		if name != field {
			r.Unknown(name)
			continue
		}
		there = true
		r.String(field)
		r.Refuse(field, OneOf(kinds...))
	}
	if !there {
		r.Refuse(field, Missing)
	}
}

// Nullable is a field that may be null, or not there.
type Nullable[T any] struct {
	Value T
	Set   bool // the value is there
	Null  bool // null is there
}

// ErrNoObject says that a frame is no JSON object.
var ErrNoObject = errors.New("a frame is no JSON object")

// EndFrame is [Reader.End] for a frame of tim.v1, whose socket is closed if it is no JSON.
func (r *Reader) EndFrame() error {
	err := r.End("frame")
	if r.Broken() {
		return ErrNoObject
	}
	return err
}
