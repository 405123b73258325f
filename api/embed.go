// Package apispec embeds the specs as they lie in the tree, so that they can be served side by side, and has the form of
// their choices in which the server checks them.
package apispec

import _ "embed"

// OpenAPI is openapi.yaml, the REST contract.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Frames is frames.yaml, the schema of every socket frame.
//
//go:embed frames.yaml
var Frames []byte
