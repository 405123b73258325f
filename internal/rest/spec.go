package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	apispec "tim/api"
	"tim/gen/specs"
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

// documents are the specs as they are served: as they lie in the tree, but with this server's address.
type documents struct {
	openAPI, openAPIJSON, openAPIBelow, frames, asyncAPI document
}

// The places of the specs that name the server, as they stand in the tree.
const (
	treeServer = "servers:\n  - url: /\n    description: this server\n"
	treeSocket = "    host: localhost:8081\n    protocol: ws\n    description: A server as `make run` starts it.\n"
)

// newDocuments puts the address into the specs. In that of REST a relative one comes first, seen from the document itself: it
// holds wherever the document was found. The public address follows, for readers who keep a copy.
func newDocuments(public address) (documents, error) {
	var out documents
	if !strings.Contains(apispec.OpenAPI(), treeServer) || !strings.Contains(specs.AsyncAPI(), treeSocket) {
		return out, errors.New("a spec doesn't name its server as this program knows it")
	}
	const yamlType = "application/yaml"
	rest := func(relative string) []byte {
		servers := "servers:\n  - url: " + relative + "\n    description: this server\n"
		if public != (address{}) {
			servers += "  - url: " + strconv.Quote(public.String()) + "\n    description: its public address\n"
		}
		return []byte(strings.Replace(apispec.OpenAPI(), treeServer, servers, 1))
	}
	asJSON, err := jsonOf(rest("."))
	if err != nil {
		return out, err
	}
	out.openAPI, out.openAPIBelow = newDocument(yamlType, rest(".")), newDocument(yamlType, rest(".."))
	out.openAPIJSON = newDocument("application/json", asJSON)
	out.frames = newDocument(yamlType, []byte(apispec.Frames()))
	sockets := specs.AsyncAPI()
	if public != (address{}) {
		sockets = strings.Replace(sockets, treeSocket, socketServer(public), 1)
	}
	out.asyncAPI = newDocument(yamlType, []byte(sockets))
	return out, nil
}

// socketServer is the server of the sockets' spec. AsyncAPI knows no relative addresses.
func socketServer(public address) string {
	text := "    host: " + strconv.Quote(public.host) + "\n"
	if public.path != "" {
		text += "    pathname: " + strconv.Quote(public.path) + "\n"
	}
	protocol := "ws"
	if public.scheme == "https" {
		protocol = "wss"
	}
	return text + "    protocol: " + protocol + "\n    description: This server.\n"
}

// jsonOf is a YAML document as JSON, with its keys in the order of the document: pages show operations in that order.
func jsonOf(document []byte) ([]byte, error) {
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
