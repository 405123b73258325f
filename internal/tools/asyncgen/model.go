package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

// kind is what a schema becomes in Go.
type kind int

const (
	kindObject    kind = iota // a struct
	kindExclusive             // a struct of which exactly one field is set
	kindUnion                 // what a discriminator chooses: kind and JSON
	kindRaw                   // the same, to be sent: JSON
	kindTuple                 // an array of fixed length, its elements of different types: a struct
	kindArray
	kindText
	kindInteger
	kindNumber
	kindBoolean
	kindFree     // an object without a schema
	kindConstant // always the same
)

// node is a schema and what it becomes.
type node struct {
	kind   kind
	name   string // of the Go type, and of the functions that read it
	schema *openapi3.Schema
	fields []*field
	item   *node
	// Of a union: the values of its discriminator, sorted, and which node each chooses.
	by      string
	kinds   []string
	members map[string]*node

	constant string // as JSON

	decoded, encoded, stored bool // what is generated of it
}

// field is a property.
type field struct {
	json, name string
	node       *node
	required   bool
	nullable   bool
}

// generator makes one Go package of schemas.
type generator struct {
	printer

	nodes   map[string]*node
	order   []*node
	imports map[string]bool
	private bool            // types are not exported
	spliced map[string]bool // the nodes that are sent as they are stored
}

func newGenerator() *generator {
	return &generator{nodes: map[string]*node{}, imports: map[string]bool{}}
}

// use makes the node of a schema. A component is one node wherever it is used; name is that of one that is none.
func (g *generator) use(ref *openapi3.SchemaRef, name string) (*node, error) {
	if s := ref.Value; len(s.AllOf) == 1 && ref.Ref == "" && s.Type == nil && len(s.Properties) == 0 { // a reference with an extension beside it
		return g.use(s.AllOf[0], name)
	}
	if ref.Ref != "" {
		name = goName(ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:])
	}
	if n := g.nodes[name]; n != nil {
		if n.schema != ref.Value && !same(n.schema, ref.Value) {
			return nil, fmt.Errorf("two schemas are called %s", name)
		}
		return n, nil
	}
	n := &node{name: name, schema: ref.Value}
	g.nodes[name] = n
	g.order = append(g.order, n)
	if err := g.fill(n); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

func same(a, b *openapi3.Schema) bool {
	one, err := json.Marshal(a)
	other, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(one) == string(other)
}

func (g *generator) fill(n *node) error {
	s := n.schema
	switch {
	case len(s.AllOf) > 0 || s.MultipleOf != nil || s.UniqueItems:
		return fmt.Errorf("allOf, multipleOf and uniqueItems are not known")
	case g.spliced[n.name]:
		n.kind = kindRaw
	case discriminator(s) != nil:
		return g.fillUnion(n)
	case len(s.OneOf) > 0:
		return g.fillExclusive(n)
	case len(values(s)) == 1:
		n.kind = kindConstant
		text, err := json.Marshal(values(s)[0])
		n.constant = string(text)
		return err
	case s.Type.Is("integer"):
		n.kind = kindInteger
		if s.Min != nil && s.Max != nil && *s.Min == *s.Max {
			n.kind, n.constant = kindConstant, fmt.Sprintf("%.0f", *s.Min)
		}
	case s.Type.Is("number"):
		n.kind = kindNumber
	case s.Type.Is("boolean"):
		n.kind = kindBoolean
	case s.Type.Is("string"):
		n.kind = kindText
		if text, ok := literal(s.Pattern); ok {
			n.kind, n.constant = kindConstant, fmt.Sprintf("%q", text)
		}
	case s.Type.Is("array"):
		return g.fillArray(n)
	case s.Type.Is("object"):
		return g.fillObject(n)
	default:
		return fmt.Errorf("a schema without a type that is known")
	}
	return nil
}

// values are those of an enumeration, be it closed or one that grows: a server takes and sends those that it knows.
func values(s *openapi3.Schema) []any {
	if len(s.Enum) > 0 {
		return s.Enum
	}
	list, _ := s.Extensions["x-extensible-enum"].([]any)
	return list
}

func (g *generator) fillObject(n *node) error {
	s := n.schema
	n.kind = kindObject
	if len(s.Properties) == 0 && s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has {
		n.kind = kindFree
		return nil
	}
	if s.MinProps == 1 && (s.MaxProps == nil || *s.MaxProps == 1) {
		n.kind = kindExclusive
	} else if s.MinProps > 0 || s.MaxProps != nil {
		return fmt.Errorf("of minProperties and maxProperties only 1 and 1 are known")
	}
	return g.addFields(n, s, s.Required)
}

func (g *generator) addFields(n *node, s *openapi3.Schema, required []string) error {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		ref := s.Properties[name]
		p, err := g.use(ref, n.name+goName(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		n.fields = append(n.fields, &field{
			json: name, name: goName(name), node: p, required: slices.Contains(required, name), nullable: ref.Value.Nullable,
		})
	}
	return nil
}

// fillExclusive is a choice of objects that each require one field of their own.
func (g *generator) fillExclusive(n *node) error {
	n.kind = kindExclusive
	for _, ref := range n.schema.OneOf {
		s := ref.Value
		if len(s.Properties) != 1 || len(s.Required) != 1 || s.Properties[s.Required[0]] == nil {
			return fmt.Errorf("a choice without a discriminator must be of objects with one required field each")
		}
		if err := g.addFields(n, s, nil); err != nil {
			return err
		}
		n.schema.AdditionalProperties = s.AdditionalProperties
	}
	slices.SortFunc(n.fields, func(a, b *field) int { return strings.Compare(a.json, b.json) })
	return nil
}

// discriminator is a schema's, or what stands in its place where generators of clients read a choice better without: the
// extension x-tim-discriminator, which says the same.
func discriminator(s *openapi3.Schema) *openapi3.Discriminator {
	extension, ok := s.Extensions["x-tim-discriminator"].(map[string]any)
	if !ok {
		return s.Discriminator
	}
	d := &openapi3.Discriminator{Mapping: map[string]openapi3.MappingRef{}}
	d.PropertyName, _ = extension["propertyName"].(string)
	mapping, _ := extension["mapping"].(map[string]any)
	for value, ref := range mapping {
		d.Mapping[value] = openapi3.MappingRef{Ref: fmt.Sprint(ref)}
	}
	return d
}

func (g *generator) fillUnion(n *node) error {
	d := discriminator(n.schema)
	n.kind, n.by, n.members = kindUnion, d.PropertyName, map[string]*node{}
	for _, value := range slices.Sorted(maps.Keys(d.Mapping)) {
		mapped := d.Mapping[value]
		name := mapped.Ref[strings.LastIndexByte(mapped.Ref, '/')+1:]
		for _, ref := range slices.Concat(n.schema.OneOf, n.schema.AnyOf) {
			if ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:] != name {
				continue
			}
			member, err := g.use(ref, "")
			if err != nil {
				return err
			}
			n.members[value] = member
		}
		if n.members[value] == nil {
			return fmt.Errorf("%s is mapped to %s, which is none of the choices", value, name)
		}
	}
	n.kinds = slices.Sorted(maps.Keys(n.members))
	return nil
}

func (g *generator) fillArray(n *node) (err error) {
	s := n.schema
	if choices := slices.Concat(s.Items.Value.AnyOf, s.Items.Value.OneOf); len(choices) > 0 && s.Items.Value.Discriminator == nil &&
		s.MaxItems != nil && s.MinItems == *s.MaxItems && int(s.MinItems) == len(choices) { //nolint:gosec // a handful
		n.kind = kindTuple
		for _, ref := range choices {
			item, err := g.use(ref, "")
			if err != nil {
				return err
			}
			n.fields = append(n.fields, &field{name: item.name, node: item, required: true})
		}
		return nil
	}
	n.kind = kindArray
	n.item, err = g.use(s.Items, n.name+"Item")
	return err
}

// mark notes what is to be generated of a node and of its parts.
func (n *node) mark(decoded, encoded, stored bool) {
	if (n.decoded || !decoded) && (n.encoded || !encoded) && (n.stored || !stored) {
		return
	}
	n.decoded, n.encoded, n.stored = n.decoded || decoded, n.encoded || encoded, n.stored || stored
	if n.kind == kindRaw {
		return
	}
	for _, f := range n.fields {
		f.node.mark(decoded, encoded, stored)
	}
	if n.item != nil {
		n.item.mark(decoded, encoded, stored)
	}
	for _, member := range n.members {
		member.mark(decoded, false, decoded)
	}
}

// typeName is that of a node's Go type.
func (g *generator) typeName(n *node) string {
	if g.private {
		return strings.ToLower(n.name[:1]) + n.name[1:]
	}
	return n.name
}

// goType is the type of a field of a node.
func (g *generator) goType(n *node) string {
	switch n.kind {
	case kindText:
		if len(values(n.schema)) > 1 && !g.private && n.encoded {
			return g.typeName(n)
		}
		return "string"
	case kindInteger:
		if n.schema.Format == "int32" {
			return "int32"
		}
		return "int64"
	case kindNumber:
		return "schema.Number"
	case kindBoolean:
		return "bool"
	case kindFree, kindRaw:
		return "schema.Raw"
	case kindArray:
		return "[]" + g.goType(n.item)
	default:
		return g.typeName(n)
	}
}

// pointer reports whether a field needs a pointer to tell that it is not there: its zero value is one that it may have.
func (f *field) pointer() bool {
	if f.required || f.nullable {
		return false
	}
	s := f.node.schema
	switch f.node.kind {
	case kindText:
		return s.MinLength == 0 && len(values(s)) == 0
	case kindInteger:
		return (s.Min == nil || *s.Min <= 0) && (s.Max == nil || *s.Max >= 0)
	case kindBoolean, kindObject, kindTuple:
		return true
	default:
		return false
	}
}

// bounds of an integer, and whether the schema has any but the format's.
func (n *node) bounds() (low, high int64, bounded bool) {
	low, high = math.MinInt64, math.MaxInt64
	if n.schema.Format == "int32" {
		low, high = math.MinInt32, math.MaxInt32
	}
	s := n.schema
	if s.Min != nil && *s.Min > float64(low) {
		low = int64(math.Ceil(*s.Min))
		if s.ExclusiveMin.Bool != nil && *s.ExclusiveMin.Bool {
			low++
		}
	}
	if s.Max != nil && *s.Max < float64(high) {
		high = int64(math.Floor(*s.Max))
		if s.ExclusiveMax.Bool != nil && *s.ExclusiveMax.Bool {
			high--
		}
	}
	return low, high, s.Min != nil || s.Max != nil
}

// goName is a name of the spec as Go writes it: clientId is ClientID.
func goName(name string) string {
	var out strings.Builder
	up := true
	for _, c := range name {
		if c == '_' || c == '-' || c == '.' || c == ' ' {
			up = true
			continue
		}
		if up {
			c = unicode.ToUpper(c)
		}
		up = false
		out.WriteRune(c)
	}
	text := out.String()
	if before, ok := strings.CutSuffix(text, "Id"); ok {
		text = before + "ID"
	}
	if text == "Url" {
		text = "URL"
	}
	return text
}

// comment is a description as a comment of Go.
func comment(subject, description string) string {
	description = strings.Join(strings.Fields(description), " ")
	if description == "" {
		return "// " + subject + "."
	}
	return "// " + subject + ": " + description
}
