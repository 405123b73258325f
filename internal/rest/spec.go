package rest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	apispec "tim/api"
)

// loadSpec returns api/openapi.yaml in the form in which requests are checked. It isn't the generated api.GetSpec, which
// renames the operations to what they are called in Go.
func loadSpec() (*openapi3.T, error) {
	spec, err := openapi3.NewLoader().LoadFromData([]byte(apispec.OpenAPI()))
	if err != nil {
		return nil, err
	}
	return spec, apispec.Simplify(spec)
}

// jsonOf is a YAML document as JSON, with its keys in the order of the document: pages show operations in that order.
func jsonOf(document []byte) (jsonDocument, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := writeJSON(&out, root.Content[0]); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeJSON(out *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i < len(node.Content); i += 2 {
			if i > 0 {
				out.WriteByte(',')
			}
			key, err := json.Marshal(node.Content[i].Value)
			if err != nil {
				return err
			}
			out.Write(key)
			out.WriteByte(':')
			if err := writeJSON(out, node.Content[i+1]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, element := range node.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, element); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		var value any
		if err := node.Decode(&value); err != nil {
			return err
		}
		text, err := json.Marshal(value)
		out.Write(text)
		return err
	default:
		return fmt.Errorf("line %d: aliases are not understood", node.Line)
	}
	return nil
}
