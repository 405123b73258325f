// Package apispec embeds openapi.yaml and frames.yaml, which the server checks requests against and serves. Package gen/specs
// embeds asyncapi.yaml, which is in the root, where no package is.
//
//	embed.go     the texts
//	simplify.go  choices of the spec in a form that is checked faster
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
