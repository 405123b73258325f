package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"tim/gen/frames"
)

// Spec checks and decodes the frames that the server may send. Its methods may be called from any goroutine.
type Spec struct {
	modern   map[string]*openapi3.Schema // by type
	contract *openapi3.Schema
}

// NewSpec reads the schemas that are built in.
func NewSpec() (*Spec, error) {
	all, err := frames.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("load the frames: %w", err)
	}
	schemas := all.Components.Schemas
	s := &Spec{modern: make(map[string]*openapi3.Schema), contract: schemas["ChatMessage"].Value}
	for kind, ref := range schemas["ServerFrame"].Value.Discriminator.Mapping {
		s.modern[kind] = schemas[ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]].Value
	}
	return s, nil
}

// Decode checks a frame of tim.v1 and returns it as its generated type.
func (s *Spec) Decode(frame []byte) (any, error) {
	var value map[string]any
	if err := json.Unmarshal(frame, &value); err != nil {
		return nil, err
	}
	kind, _ := value["type"].(string)
	schema := s.modern[kind]
	if schema == nil {
		return nil, errors.New("a frame of no known type")
	}
	if err := schema.VisitJSON(value); err != nil {
		return nil, err
	}
	var frameOfServer frames.ServerFrame
	if err := frameOfServer.UnmarshalJSON(frame); err != nil {
		return nil, err
	}
	return frameOfServer.ValueByDiscriminator()
}

// Message returns what a frame of the contract's conversation sockets says, if it is a message: the others are bare text. An
// error is a frame of JSON that is not as the spec has it.
func (s *Spec) Message(frame []byte) (m frames.ChatMessage, ok bool, err error) {
	var value any
	if json.Unmarshal(frame, &value) != nil {
		return m, false, nil //nolint:nilerr // a bare text is no error
	}
	if err := s.contract.VisitJSON(value); err != nil {
		return m, false, err
	}
	return m, true, json.Unmarshal(frame, &m)
}
