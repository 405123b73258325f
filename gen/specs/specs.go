// Package specs embeds the copy of asyncapi.yaml that `make generate` lays beside it, since a package can embed only
// what lies below it.
package specs

import _ "embed"

// AsyncAPI is asyncapi.yaml, the sockets.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte
