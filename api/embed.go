// Package apispec embeds the specs as they lie in the tree, so that the server can serve them side by side, and has the form of
// their choices in which the server checks them.
package apispec

import _ "embed"

//go:embed openapi.yaml
var openAPI string

//go:embed frames.yaml
var frames string

// OpenAPI returns openapi.yaml, the REST contract.
func OpenAPI() string { return openAPI }

// Frames returns frames.yaml, the schemas of every frame of the sockets.
func Frames() string { return frames }
