// Package specs embeds the copy of asyncapi.yaml that `make generate` lays beside it. A package can embed only files of its
// own folder and below.
package specs

import _ "embed"

//go:embed asyncapi.yaml
var asyncAPI string

// AsyncAPI returns asyncapi.yaml, the sockets.
func AsyncAPI() string { return asyncAPI }
