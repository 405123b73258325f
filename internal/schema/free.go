package schema

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Raw is JSON that is passed on as it is.
type Raw string

// FreeObject reads an object for which there is no schema, and returns it in the one spelling in which it is stored: without
// spaces, its fields by name, each once, integers as integers, strings as [AppendStored] writes them.
func (r *Reader) FreeObject(field string) Raw {
	if r.next() != '{' {
		r.mismatch(field, "an object")
		return "{}"
	}
	before := r.refused
	out := r.free(nil, "")
	r.Within(field, before)
	return Raw(out)
}

// member is a field of an object without a schema: its name, and where name and value stand in what is written.
type member struct {
	name     string
	from, to int
}

// free appends a value. A problem is named by what lies within the value.
func (r *Reader) free(b []byte, field string) []byte {
	switch c := r.next(); c {
	case '{':
		if !r.Object(field) {
			return append(b, "{}"...)
		}
		return r.freeFields(b, field)
	case '[':
		if !r.Array(field) {
			return append(b, "[]"...)
		}
		b = append(b, '[')
		for i := 0; r.Item(); i++ {
			if i > 0 {
				b = append(b, ',')
			}
			before := r.refused
			b = r.free(b, "")
			if !r.over { // its name would be as long as it is deep
				r.WithinItem(i, before)
			}
		}
		return append(b, ']')
	case '"':
		return AppendStored(b, r.String(field))
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return r.freeNumber(b, field)
	default:
		from := r.at
		r.word()
		if !r.broken {
			b = append(b, r.text[from:r.at]...)
		}
		return b
	}
}

func (r *Reader) freeNumber(b []byte, field string) []byte {
	from := r.at
	if !r.digits() {
		return b
	}
	literal := r.text[from:r.at]
	if _, err := strconv.ParseFloat(literal, 64); err != nil {
		r.Refuse(field, TooLargeNumber)
		return append(b, '0')
	}
	return append(b, normal(literal)...)
}

// freeFields appends the fields of an object that has just begun, and its end.
func (r *Reader) freeFields(b []byte, field string) []byte {
	var few [8]member
	members := few[:0]
	sorted := true
	start := len(b)
	b = append(b, '{')
	for {
		name, whole, ok := r.name()
		if !ok {
			break
		}
		if !whole {
			r.Refuse(field, HalfSurrogate)
		}
		r.count()
		if n := len(members); n > 0 {
			b = append(b, ',')
			sorted = sorted && strings.Compare(members[n-1].name, name) < 0
		}
		from := len(b)
		b = AppendStored(b, name)
		b = append(b, ':')
		before := r.refused
		b = r.free(b, "")
		if !r.over {
			r.Within(name, before)
		}
		members = append(members, member{name, from, len(b)})
	}
	if !sorted && !r.refused {
		b = inOrder(b, start, members)
	}
	return append(b, '}')
}

// inOrder writes the fields of an object, from start on, by name, and of those of one name the last.
func inOrder(b []byte, start int, members []member) []byte {
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(strings.Compare(a.name, b.name), a.from-b.from)
	})
	written := bytes.Clone(b[start:])
	b = append(b[:start], '{')
	for i, m := range members {
		if i+1 < len(members) && members[i+1].name == m.name {
			continue
		}
		if len(b) > start+1 {
			b = append(b, ',')
		}
		b = append(b, written[m.from-start:m.to-start]...)
	}
	return b
}
