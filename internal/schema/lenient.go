package schema

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Lenient converts the scalars of a JSON object to the kinds that a schema asks for, as the original server's framework did
// (Jackson, as Spring Boot sets it up): "12" and 1.9 where an integer belongs, 12 and true where a string does. What it can't
// convert stays as it is, for the check to refuse. The zero value converts nothing.
type Lenient struct {
	Fields map[string]Lenience
	// Defaults are fields that have the value of another one when they are missing or empty.
	Defaults map[string]string
}

// Lenience says what a field of a Lenient is.
type Lenience struct {
	Integer  bool // of 32 bits; otherwise it is a string
	Nullable bool // an empty string means null; otherwise 0 for an integer
	Any      bool // any value but null becomes a string, which has its JSON
}

// Convert converts the fields of a JSON object. It returns a text that is no JSON object as it is.
func (l Lenient) Convert(text []byte) []byte {
	if len(l.Fields) == 0 {
		return text
	}
	fields, ok := topLevel(text)
	if !ok {
		return text
	}
	changed := false
	last := make(map[string]json.RawMessage) // of a field that is there twice the last one counts
	for i := range fields {
		if kind, known := l.Fields[fields[i].name]; known {
			converted := kind.convert(fields[i].value)
			changed = changed || !bytes.Equal(converted, fields[i].value)
			fields[i].value = converted
		}
		last[fields[i].name] = fields[i].value
	}
	for name, from := range l.Defaults {
		if value, there := last[from]; there && isEmpty(last[name]) {
			fields = slices.DeleteFunc(fields, func(m property) bool { return m.name == name })
			fields = append(fields, property{name, value})
			changed = true
		}
	}
	if !changed {
		return text
	}
	return object(fields)
}

func isEmpty(value json.RawMessage) bool {
	text := string(value)
	return text == "" || text == "null" || text == `""`
}

// property is a field of a JSON object, with its value as it is written.
type property struct {
	name  string
	value json.RawMessage
}

// topLevel returns the fields of a JSON object in their order, also those that are there twice.
func topLevel(text []byte) (fields []property, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false
		}
		text, _ := name.(string) // the name of a field always is one
		fields = append(fields, property{text, value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return fields, err == io.EOF
}

func object(fields []property) []byte {
	out := []byte{'{'}
	for i, m := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(appendQuoted(out, m.name), ':'), m.value...)
	}
	return append(out, '}')
}

func appendQuoted(out []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil { // a string always is JSON
		return append(out, `""`...)
	}
	return append(out, quoted...)
}

// convert returns a value of JSON as the kind that the field has, if it can be converted.
func (l Lenience) convert(value json.RawMessage) json.RawMessage {
	c := value[0]
	number := c == '-' || c >= '0' && c <= '9'
	switch {
	case l.Integer && c == '"':
		return l.integerOf(value)
	case l.Integer && number:
		return whole(value)
	case l.Integer:
		return value
	case l.Nullable && string(value) == `""`:
		return json.RawMessage("null")
	case number, c == 't', c == 'f', l.Any && (c == '{' || c == '['):
		return appendQuoted(nil, string(value))
	default:
		return value
	}
}

// integerOf returns the integer that a JSON string is, null or 0 for an empty one.
func (l Lenience) integerOf(value json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return value
	}
	text = strings.Map(func(c rune) rune { // Java's digits of full width are digits
		if c >= '０' && c <= '９' {
			return c - '０' + '0'
		}
		return c
	}, strings.TrimFunc(text, func(c rune) bool { return c <= ' ' })) // as Java trims
	switch {
	case l.Nullable && (text == "" || text == "null"):
		return json.RawMessage("null")
	case text == "":
		return json.RawMessage("0")
	}
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		return strconv.AppendInt(nil, n, 10)
	}
	return value
}

// whole cuts the fraction of a number off.
func whole(value json.RawMessage) json.RawMessage {
	if !strings.ContainsAny(string(value), ".eE") {
		return value
	}
	if f, err := strconv.ParseFloat(string(value), 64); err == nil && math.Abs(f) <= math.MaxInt32 {
		return strconv.AppendInt(nil, int64(f), 10)
	}
	return value
}
