package apispec

import (
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Simplify rewrites the choices in a spec, which are written for the generators of clients, into schemas that accept the
// same, are checked faster, and name the field that is wrong: a choice with x-tim-discriminator gets a discriminator, so
// that a value is compared with one member alone; a choice of closed objects of one field each becomes one object that
// has exactly one of these fields.
func Simplify(spec *openapi3.T) error {
	for name, schema := range spec.Components.Schemas {
		if extension, ok := schema.Value.Extensions["x-tim-discriminator"]; ok {
			discriminator, err := discriminatorOf(extension, schema.Value.OneOf)
			if err != nil {
				return fmt.Errorf("x-tim-discriminator of %s: %w", name, err)
			}
			schema.Value.Discriminator = discriminator
		} else if fields, ok := singleFields(schema.Value.OneOf); ok {
			schema.Value.OneOf, schema.Value.Properties = nil, fields
			schema.Value.AdditionalProperties = openapi3.BoolSchema{Has: new(false)}
			schema.Value.MinProps, schema.Value.MaxProps = 1, new(uint64(1))
		}
	}
	return nil
}

// singleFields collects the fields of a choice of closed objects that have one each, all of other names.
func singleFields(members openapi3.SchemaRefs) (openapi3.Schemas, bool) {
	fields := make(openapi3.Schemas, len(members))
	for _, member := range members {
		closed := member.Value.AdditionalProperties.Has
		if closed == nil || *closed || len(member.Value.Properties) != 1 || len(member.Value.Required) != 1 {
			return nil, false
		}
		name := member.Value.Required[0]
		if fields[name] != nil || member.Value.Properties[name] == nil {
			return nil, false
		}
		fields[name] = member.Value.Properties[name]
	}
	return fields, len(fields) > 0
}

// discriminatorOf reads the extension. Its references become those of the members, which a bundled spec calls otherwise:
// openapi_TextBody for TextBody.
func discriminatorOf(extension any, members openapi3.SchemaRefs) (*openapi3.Discriminator, error) {
	fields, _ := extension.(map[string]any)
	property, _ := fields["propertyName"].(string)
	mapping, _ := fields["mapping"].(map[string]any)
	if property == "" || len(mapping) == 0 {
		return nil, fmt.Errorf("got %v, want propertyName and mapping", extension)
	}
	d := &openapi3.Discriminator{PropertyName: property, Mapping: make(map[string]openapi3.MappingRef, len(mapping))}
	for value, target := range mapping {
		ref, _ := target.(string)
		for _, member := range members {
			if one, other := lastOf(member.Ref), lastOf(ref); one == other || strings.HasSuffix(one, "_"+other) {
				d.Mapping[value] = openapi3.MappingRef{Ref: member.Ref}
			}
		}
		if d.Mapping[value].Ref == "" {
			return nil, fmt.Errorf("%s leads to %q, which is no member", value, ref)
		}
	}
	return d, nil
}

// lastOf is the name that a reference ends in.
func lastOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
