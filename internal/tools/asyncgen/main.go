// Command asyncgen generates gen/sockets from asyncapi.yaml and the schemas that it refers to, and gen/bodies from the JSON
// bodies of openapi.yaml. Usage: asyncgen -root ../..
//
//	document.go  asyncapi.yaml: channels, operations, messages, close codes
//	model.go     the Go types that schemas become
//	pattern.go   patterns, as loops over bytes or characters
//	decode.go    strict decoders
//	encode.go    encoders
//	sockets.go   the package of the sockets: its interface, dispatch, pushes, channels, bare texts
//	bodies.go    the package of the bodies
//
// Whatever it doesn't know how to check in a schema of a client's JSON makes it fail.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"

	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("asyncgen: ")
	root := flag.String("root", ".", "the folder of asyncapi.yaml, api and gen")
	flag.Parse()
	if err := run(*root); err != nil {
		log.Fatal(err)
	}
}

func run(root string) error {
	sockets, err := generateSockets(root)
	if err == nil {
		err = write(filepath.Join(root, "gen", "sockets", "sockets.gen.go"), sockets)
	}
	if err != nil {
		return fmt.Errorf("sockets: %w", err)
	}
	bodies, err := generateBodies(root)
	if err == nil {
		err = write(filepath.Join(root, "gen", "bodies", "bodies.gen.go"), bodies)
	}
	if err != nil {
		return fmt.Errorf("bodies: %w", err)
	}
	return nil
}

// load reads an OpenAPI document and what it refers to.
func load(path string) (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	spec, err := loader.LoadFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return spec, nil
}

func write(path string, code []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, code, 0o644)
}

// printer collects the lines of a Go file.
type printer struct {
	bytes.Buffer
}

func (p *printer) line(form string, args ...any) {
	fmt.Fprintf(&p.Buffer, form, args...)
	p.WriteByte('\n')
}

// file is the formatted file.
func (p *printer) file() ([]byte, error) {
	code, err := format.Source(p.Bytes())
	if err != nil {
		return nil, errors.Join(err, fmt.Errorf("in\n%s", p.Bytes()))
	}
	return code, nil
}
