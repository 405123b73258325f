package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// emitTypes writes the Go types.
func (g *generator) emitTypes() error {
	for _, n := range g.order {
		switch n.kind {
		case kindObject, kindExclusive, kindTuple:
			if !n.decoded && !n.encoded && !n.stored {
				continue
			}
			g.line("%s\ntype %s struct {", comment(g.typeName(n), n.schema.Description), g.typeName(n))
			for _, f := range n.fields {
				if f.node.kind == kindConstant {
					continue
				}
				g.line("%s %s%s", f.name, g.fieldType(f), fieldComment(f))
			}
			g.line("}\n")
		case kindUnion:
			g.line("%s\ntype %s struct {", comment(g.typeName(n), n.schema.Description), g.typeName(n))
			g.line("%s string\nJSON []byte // in the one spelling in which it is stored", goName(n.by))
			if n.text() != nil {
				g.line("Text string // of the kind text")
			}
			g.line("}\n")
		case kindText:
			if n.encoded && g.goType(n) != "string" {
				g.emitEnumeration(n)
			}
		default:
		}
	}
	return nil
}

func (g *generator) fieldType(f *field) string {
	switch {
	case f.nullable:
		return "schema.Nullable[" + g.goType(f.node) + "]"
	case f.pointer():
		return "*" + g.goType(f.node)
	default:
		return g.goType(f.node)
	}
}

func fieldComment(f *field) string {
	var parts []string
	if d := strings.Join(strings.Fields(f.node.schema.Description), " "); d != "" && f.node.kind != kindObject && f.node.kind != kindExclusive {
		parts = append(parts, d)
	}
	if !f.required && !f.pointer() && !f.nullable {
		parts = append(parts, "The zero value is left out.")
	}
	if len(parts) == 0 {
		return ""
	}
	return " // " + strings.Join(parts, " ")
}

// emitEnumeration writes the type of texts of which there are only so many, and a constant for each.
func (g *generator) emitEnumeration(n *node) {
	name := g.typeName(n)
	g.line("%s\ntype %s string\n", comment(name, n.schema.Description), name)
	g.line("// The values of %s.\nconst (", name)
	g.listed(n, func(text string) string {
		g.line("%s%s %s = %q", name, goName(text), name, text)
		return ""
	})
	g.line(")\n")
	list := g.listed(n, func(text string) string { return name + goName(text) })
	g.line("// %sValues lists them all.\nfunc %sValues() []%s {\nreturn []%s{%s}\n}\n", name, name, name, name, strings.Join(list, ", "))
}

// emitEncoders writes how nodes are written as JSON: for frames, and as messages are stored.
func (g *generator) emitEncoders() error {
	for _, n := range g.order {
		if n.kind != kindObject && n.kind != kindExclusive && n.kind != kindTuple {
			continue
		}
		if n.encoded {
			g.line("// AppendJSON appends it as JSON, its fields by name.")
			if err := g.emitAppend(n, "AppendJSON", "schema.AppendString"); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
		if n.stored {
			g.line("// appendStored appends it in the one spelling in which it is stored.")
			if err := g.emitAppend(n, "appendStored", "schema.AppendStored"); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
		if n.encoded || n.stored {
			g.emitSize(n)
		}
	}
	return nil
}

func (g *generator) emitAppend(n *node, method, text string) error {
	g.line("func (v *%s) %s(b []byte) []byte {", g.typeName(n), method)
	open, end, named := "{", "Close", true
	if n.kind == kindTuple {
		open, end, named = "[", "CloseArray", false
	}
	fields := slices.Clone(n.fields)
	slices.SortStableFunc(fields, func(a, b *field) int {
		if !named {
			return 0
		}
		return cmp.Compare(a.json, b.json)
	})
	pending := open // what is to be appended before the next value
	for _, f := range fields {
		if f.node.kind == kindConstant && f.required {
			pending += fmt.Sprintf("%q:%s,", f.json, f.node.constant)
			continue
		}
		condition, err := g.present(n, f)
		if err != nil {
			return err
		}
		name := ""
		if named {
			name = fmt.Sprintf("%q:", f.json)
		}
		if condition == "" {
			g.line("b = append(b, `%s%s`...)", pending, name)
			pending = ""
		} else {
			if pending != "" {
				g.line("b = append(b, `%s`...)", pending)
				pending = ""
			}
			g.line("if %s {\nb = append(b, `%s`...)", condition, name)
		}
		if err := g.emitValue(f, method, text); err != nil {
			return fmt.Errorf("%s: %w", f.json, err)
		}
		if condition != "" {
			g.line("b = append(b, ',')\n}")
		} else {
			pending = ","
		}
	}
	closing := "}"
	if !named {
		closing = "]"
	}
	switch last, whole := strings.CutSuffix(pending, ","); {
	case whole:
		g.line("return append(b, `%s%s`...)\n}\n", last, closing)
	case pending != "":
		g.line("return append(b, `%s%s`...)\n}\n", pending, closing)
	default:
		g.line("return schema.%s(b)\n}\n", end)
	}
	return nil
}

// present is the condition on which a field is written; "" for always.
func (g *generator) present(n *node, f *field) (string, error) {
	v := "v." + f.name
	switch {
	case f.nullable:
		return fmt.Sprintf("%s.Set || %s.Null", v, v), nil
	case f.pointer():
		return v + " != nil", nil
	case f.required:
		return "", nil
	}
	switch f.node.kind {
	case kindText, kindNumber, kindFree, kindRaw:
		return v + ` != ""`, nil
	case kindInteger:
		return v + " != 0", nil
	case kindArray:
		if n.stored && !n.encoded {
			return v + " != nil", nil
		}
		return fmt.Sprintf("len(%s) > 0", v), nil
	case kindExclusive:
		return fmt.Sprintf("%s != (%s{})", v, g.goType(f.node)), nil
	case kindUnion:
		return v + ".JSON != nil", nil
	default:
		return "", fmt.Errorf("%s: how to leave it out is not known", f.json)
	}
}

// emitValue writes how the value of a field is appended.
func (g *generator) emitValue(f *field, method, text string) error {
	v := "v." + f.name
	if f.nullable {
		g.line("if %s.Null {\nb = append(b, `null`...)\n} else {", v)
		if err := g.emitOne(f.node, v+".Value", method, text); err != nil {
			return err
		}
		g.line("}")
		return nil
	}
	if f.pointer() && f.node.kind != kindObject && f.node.kind != kindTuple {
		v = "*" + v
	}
	return g.emitOne(f.node, v, method, text)
}

func (g *generator) emitOne(n *node, v, method, text string) error {
	switch n.kind {
	case kindText:
		if g.goType(n) != "string" {
			v = "string(" + v + ")"
		}
		g.line("b = %s(b, %s)", text, v)
	case kindInteger:
		g.imports["strconv"] = true
		if g.goType(n) == "int32" {
			v = "int64(" + v + ")"
		}
		g.line("b = strconv.AppendInt(b, %s, 10)", v)
	case kindBoolean:
		g.imports["strconv"] = true
		g.line("b = strconv.AppendBool(b, %s)", v)
	case kindNumber, kindFree, kindRaw:
		g.line("b = append(b, %s...)", v)
	case kindUnion:
		g.line("b = append(b, %s.JSON...)", v)
	case kindObject, kindExclusive, kindTuple:
		g.line("b = %s.%s(b)", v, method)
	case kindArray:
		g.line("b = append(b, '[')\nfor i := range %s {\nif i > 0 {\nb = append(b, ',')\n}", v)
		if err := g.emitOne(n.item, v+"[i]", method, text); err != nil {
			return err
		}
		g.line("}\nb = append(b, ']')")
	default:
		return fmt.Errorf("how to write it is not known")
	}
	return nil
}

// emitSize writes about how many bytes a node takes as JSON, so that there is one allocation for it.
func (g *generator) emitSize(n *node) {
	fixed := 2
	var lines []string
	add := func(form string, args ...any) { lines = append(lines, fmt.Sprintf(form, args...)) }
	for _, f := range n.fields {
		fixed += len(f.json) + 4
		v := "v." + f.name
		if f.nullable {
			v += ".Value"
		}
		switch f.node.kind {
		case kindConstant:
			fixed += len(f.node.constant)
		case kindText:
			fixed += 2
			if f.pointer() {
				add("if %s != nil {\nn += len(*%s)\n}", v, v)
			} else {
				add("n += len(%s)", v)
			}
		case kindNumber, kindFree, kindRaw:
			add("n += len(%s)", v)
		case kindUnion:
			add("n += len(%s.JSON)", v)
		case kindInteger, kindBoolean:
			fixed += 14
		case kindObject, kindTuple, kindExclusive:
			if f.pointer() {
				add("if %s != nil {\nn += %s.size()\n}", v, v)
			} else {
				add("n += %s.size()", v)
			}
		case kindArray:
			switch f.node.item.kind {
			case kindObject, kindExclusive, kindTuple:
				add("for i := range %s {\nn += %s[i].size() + 1\n}", v, v)
			case kindText:
				add("for i := range %s {\nn += len(%s[i]) + 3\n}", v, v)
			default:
				add("n += 14 * len(%s)", v)
			}
		}
	}
	g.line("// size is about how many bytes it takes as JSON.\nfunc (v *%s) size() int {", g.typeName(n))
	if len(lines) == 0 {
		g.line("return %d\n}\n", fixed)
		return
	}
	g.line("n := %d\n%s\nreturn n\n}\n", fixed, strings.Join(lines, "\n"))
}
