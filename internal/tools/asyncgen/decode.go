package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// emitDecoders writes the decoder of every node that has one.
func (g *generator) emitDecoders() error {
	for _, n := range g.order {
		if !n.decoded {
			continue
		}
		var err error
		switch n.kind {
		case kindObject, kindExclusive:
			err = g.emitObjectDecoder(n)
		case kindUnion:
			g.emitUnionDecoder(n)
		case kindArray:
			err = g.emitArrayDecoder(n)
		case kindText:
			err = g.emitTextReader(n)
		case kindTuple, kindRaw:
			err = fmt.Errorf("is not known as what a client sends")
		default:
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

func (g *generator) emitObjectDecoder(n *node) error {
	exclusive := n.kind == kindExclusive
	if exclusive && len(n.schema.OneOf) == 0 && n.schema.MaxProps == nil {
		return fmt.Errorf("minProperties without maxProperties is not known of what a client sends")
	}
	g.line("func (v *%s) decode(r *schema.Reader) {", g.typeName(n))
	g.line("if !r.Object(\"\") {\nreturn\n}")
	bits := map[string]int{}
	for _, f := range n.fields {
		if f.required || exclusive {
			bits[f.json] = len(bits)
		}
	}
	if len(bits) > 32 {
		return fmt.Errorf("more than 32 required fields")
	}
	if len(bits) > 0 {
		g.line("var has uint32")
	}
	g.line("for name, ok := r.Field(); ok; name, ok = r.Field() {\nswitch name {")
	for _, f := range n.fields {
		g.line("case %q:", f.json)
		if bit, ok := bits[f.json]; ok {
			g.line("has |= 1 << %d", bit)
		}
		if err := g.emitRead(f); err != nil {
			return err
		}
	}
	if has := n.schema.AdditionalProperties.Has; has != nil && !*has {
		g.line("default:\nr.Surplus(name)\n}\n}")
	} else {
		g.line("default:\nr.Unknown(name)\n}\n}")
	}
	switch {
	case exclusive:
		names := make([]string, len(n.fields))
		for i, f := range n.fields {
			names[i] = fmt.Sprintf("%q", f.json)
		}
		g.line("if has == 0 || has&(has-1) != 0 {\nr.Refuse(\"\", schema.ExactlyOne(%s))\n}", strings.Join(names, ", "))
	case len(bits) > 0:
		g.line("if has != 1<<%d-1 {\nswitch {", len(bits))
		for _, name := range n.schema.Required {
			bit, ok := bits[name]
			if !ok {
				return fmt.Errorf("%s is required but not described", name)
			}
			g.line("case has&(1<<%d) == 0:\nr.Refuse(%q, schema.Missing)", bit, name)
		}
		g.line("}\n}")
	}
	if err := g.emitTogether(n); err != nil {
		return err
	}
	g.line("}\n")
	return nil
}

// emitTogether writes the check of fields that may not be there together: not, with required, of optional ones.
func (g *generator) emitTogether(n *node) error {
	if n.schema.Not == nil {
		return nil
	}
	names := n.schema.Not.Value.Required
	if len(names) != 2 { // its properties are named for linters, and say nothing
		return fmt.Errorf("not is known with two required fields alone")
	}
	first, second := n.field(names[0]), n.field(names[1])
	if first == nil || second == nil || !first.pointer() || !second.pointer() {
		return fmt.Errorf("fields that may not be there together must be optional and may be 0 or empty")
	}
	g.line("if v.%s != nil && v.%s != nil {\nr.Refuse(%q, schema.NotWith(%q))\n}", first.name, second.name, second.json, first.json)
	return nil
}

// emitRead writes how the value of a field is read.
func (g *generator) emitRead(f *field) error {
	target, n := "v."+f.name, f.node
	if f.nullable {
		g.line("if %s = (schema.Nullable[%s]{}); r.Null() {\n%s.Null = true\ncontinue\n}\n%s.Set = true", target, g.goType(n), target, target)
		target += ".Value"
	}
	switch n.kind {
	case kindConstant:
		return g.emitConstant(f.json, n)
	case kindObject, kindExclusive, kindUnion:
		if f.pointer() {
			g.line("%s = new(%s)", target, g.goType(n))
		} else {
			g.line("%s = %s{}", target, g.goType(n))
		}
		g.line("before := r.Refused()\n%s.decode(r)\nr.Within(%q, before)", target, f.json)
	case kindArray:
		g.line("before := r.Refused()\n%s = read%s(r)\nr.Within(%q, before)", target, n.name, f.json)
	default:
		read, err := g.scalar(n, fmt.Sprintf("%q", f.json))
		if err != nil {
			return fmt.Errorf("%s: %w", f.json, err)
		}
		if f.pointer() {
			g.line("value := %s\n%s = &value", read, target)
		} else {
			g.line("%s = %s", target, read)
		}
	}
	return nil
}

func (g *generator) emitConstant(name string, n *node) error {
	var value any
	if err := json.Unmarshal([]byte(n.constant), &value); err != nil {
		return err
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("%s: a constant that isn't a string is not known as what a client sends", name)
	}
	g.line("if r.String(%q) != %q {\nr.Refuse(%q, schema.OneOf(%q))\n}", name, text, name, text)
	return nil
}

// scalar is the expression that reads a value of a simple kind; field is an expression, too.
func (g *generator) scalar(n *node, field string) (string, error) {
	switch n.kind {
	case kindText:
		if !g.checked(n) {
			return fmt.Sprintf("r.String(%s)", field), nil
		}
		if g.goType(n) != "string" {
			return fmt.Sprintf("%s(read%s(r, %s))", g.goType(n), n.name, field), nil
		}
		return fmt.Sprintf("read%s(r, %s)", n.name, field), nil
	case kindInteger:
		if len(values(n.schema)) > 0 {
			return "", fmt.Errorf("enumerations of integers are not known as what a client sends")
		}
		low, high, bounded := n.bounds()
		read := fmt.Sprintf("r.Integer(%s, %d, %d, %t)", field, low, high, bounded)
		if n.schema.Format == "int32" {
			return fmt.Sprintf("int32(%s)", read), nil
		}
		return read, nil
	case kindNumber:
		s := n.schema
		low, high := "-math.MaxFloat64", "math.MaxFloat64"
		if s.Min != nil {
			low = fmt.Sprint(*s.Min)
		} else {
			g.imports["math"] = true
		}
		if s.Max != nil {
			high = fmt.Sprint(*s.Max)
		} else {
			g.imports["math"] = true
		}
		return fmt.Sprintf("r.Number(%s, %s, %s, %t)", field, low, high, s.Min != nil || s.Max != nil), nil
	case kindBoolean:
		return fmt.Sprintf("r.Bool(%s)", field), nil
	case kindFree:
		return fmt.Sprintf("r.FreeObject(%s)", field), nil
	default:
		return "", fmt.Errorf("not known as what a client sends")
	}
}

// checked reports whether a text must be more than a text.
func (g *generator) checked(n *node) bool {
	s := n.schema
	return s.MinLength > 0 || s.MaxLength != nil || s.Pattern != "" || s.Not != nil || len(values(s)) > 0
}

// emitTextReader writes the function that reads a text and checks it. Of one that is refused it returns "".
func (g *generator) emitTextReader(n *node) error {
	s := n.schema
	if !g.checked(n) {
		return nil
	}
	if s.Format != "" {
		return fmt.Errorf("format %s is not known", s.Format)
	}
	words := "schema.OtherForm"
	if s.Pattern != "" {
		re, err := parsePattern(s.Pattern)
		if err != nil {
			return err
		}
		words = patternWords(re, s.Description)
		if err := g.emitPattern("is"+n.name, s.Pattern); err != nil {
			return err
		}
	}
	if said, ok := s.Extensions["x-tim-problem"].(string); ok {
		words = fmt.Sprintf("%q", said)
	}
	g.line("func read%s(r *schema.Reader, field string) string {\ntext := r.String(field)", n.name)
	if s.MinLength > 0 || s.MaxLength != nil {
		g.imports["unicode/utf8"] = true
		g.line("switch n := utf8.RuneCountInString(text); {")
		if s.MinLength > 0 {
			g.line("case n < %d:\nr.Refuse(field, schema.TooShort(%d))\nreturn \"\"", s.MinLength, s.MinLength)
		}
		if s.MaxLength != nil {
			g.line("case n > %d:\nr.Refuse(field, schema.TooLong(%d))\nreturn \"\"", *s.MaxLength, *s.MaxLength)
		}
		g.line("}")
	}
	if list := g.listed(n, func(text string) string { return fmt.Sprintf("%q", text) }); len(list) > 0 {
		said := slices.Clone(list)
		if s.Nullable {
			said = append(said, `"null"`)
		}
		g.line("switch text {\ncase %s:\ndefault:\nr.Refuse(field, schema.OneOf(%s))\nreturn \"\"\n}", strings.Join(list, ", "), strings.Join(said, ", "))
	}
	if s.Pattern != "" {
		g.line("if !is%s(text) {\nr.Refuse(field, %s)\nreturn \"\"\n}", n.name, words)
	}
	if s.Not != nil {
		forbidden := s.Not.Value
		if len(forbidden.Enum) == 0 || forbidden.Pattern != "" || len(forbidden.Properties) > 0 {
			return fmt.Errorf("not is known with an enum alone")
		}
		list := make([]string, len(forbidden.Enum))
		for i, value := range forbidden.Enum {
			list[i] = fmt.Sprintf("%q", value)
		}
		g.line("switch text {\ncase %s:\nr.Refuse(field, %s)\nreturn \"\"\n}", strings.Join(list, ", "), words)
	}
	g.line("return text\n}\n")
	return nil
}

// listed are the values of an enumeration of texts.
func (g *generator) listed(n *node, write func(string) string) []string {
	var list []string
	for _, value := range values(n.schema) {
		if text, ok := value.(string); ok {
			list = append(list, write(text))
		}
	}
	return list
}

func (g *generator) emitArrayDecoder(n *node) error {
	s := n.schema
	g.line("func read%s(r *schema.Reader) []%s {", n.name, g.goType(n.item))
	g.line("list := []%s{}\nif !r.Array(\"\") {\nreturn list\n}", g.goType(n.item))
	g.line("for i := 0; r.Item(); i++ {")
	if s.MaxItems != nil {
		g.line("if i >= %d {\nr.Refuse(\"\", schema.TooMany(%d))\nr.Skip()\ncontinue\n}", *s.MaxItems, *s.MaxItems)
	} else {
		return fmt.Errorf("an array that a client sends needs maxItems")
	}
	switch n.item.kind {
	case kindObject, kindExclusive, kindUnion:
		g.line("list = append(list, %s{})", g.goType(n.item))
		g.line("before := r.Refused()\nlist[i].decode(r)\nr.WithinItem(i, before)")
	default:
		read, err := g.scalar(n.item, `""`)
		if err != nil {
			return err
		}
		g.line("before := r.Refused()\nlist = append(list, %s)\nr.WithinItem(i, before)", read)
	}
	g.line("}")
	if s.MinItems > 0 {
		g.line("if len(list) < %d {\nr.Refuse(\"\", schema.TooFew(%d))\n}", s.MinItems, s.MinItems)
	}
	g.line("return list\n}\n")
	return nil
}

func (g *generator) emitUnionDecoder(n *node) {
	g.line("func (v *%s) decode(r *schema.Reader) {", g.typeName(n))
	g.line("kind, object, found := r.Peek(%q)\nif !object || !found {\nr.NoKind(%q, %s)\nreturn\n}", n.by, n.by, quoted(n.kinds))
	g.line("v.%s = kind\nswitch kind {", goName(n.by))
	var done []*node
	for _, value := range n.kinds {
		member := n.members[value]
		if slices.Contains(done, member) {
			continue
		}
		done = append(done, member)
		var list []string
		for _, other := range n.kinds {
			if n.members[other] == member {
				list = append(list, other)
			}
		}
		g.line("case %s:\nvar one %s\none.decode(r)", quoted(list), g.typeName(member))
		if f := member.field(n.by); f != nil && f.node.kind == kindText {
			g.line("v.%s = one.%s", goName(n.by), f.name)
		}
		if n.text() == member {
			g.line("v.Text = one.Text")
		}
		g.line("if !r.Refused() && !r.Broken() {\nv.JSON = one.appendStored(make([]byte, 0, one.size()))\n}")
	}
	g.line("default:\nr.NoKind(%q, %s)\n}\n}\n", n.by, quoted(n.kinds))
}

// text is the member of a union that is of kind text and has one; nil for none.
func (n *node) text() *node {
	member := n.members["text"]
	if member == nil {
		return nil
	}
	for _, f := range member.fields {
		if f.name == "Text" && f.required && f.node.kind == kindText {
			return member
		}
	}
	return nil
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = fmt.Sprintf("%q", text)
	}
	return strings.Join(out, ", ")
}
