package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is what asyncapi.yaml says, in its order.
type document struct {
	Channels   ordered[channel]     `yaml:"channels"`
	Operations ordered[operation]   `yaml:"operations"`
	CloseCodes ordered[[]closeCode] `yaml:"x-tim-close-codes"` // by the name that channels refer to
	// Spliced are schemas of what is stored as JSON: frames hold it as it is stored, and it is not encoded anew.
	Spliced    []string `yaml:"x-tim-spliced"`
	Components struct {
		Messages ordered[message] `yaml:"messages"`
	} `yaml:"components"`
}

type channel struct {
	Address    string             `yaml:"address"`
	Title      string             `yaml:"title"`
	Parameters ordered[yaml.Node] `yaml:"parameters"`
	Messages   ordered[reference] `yaml:"messages"`
	CloseCodes string             `yaml:"x-tim-close-codes"`
	// Subprotocol is what the handshake's answer names, where it must name one.
	Subprotocol string `yaml:"x-tim-subprotocol"`
}

type operation struct {
	Action   string      `yaml:"action"` // receive or send, as the server does
	Summary  string      `yaml:"summary"`
	Channel  reference   `yaml:"channel"`
	Messages []reference `yaml:"messages"`
	Reply    *struct {
		Messages []reference `yaml:"messages"`
	} `yaml:"reply"`
	// Follows says that frames follow the answer, so that its method writes the answer itself before it goes on.
	Follows bool `yaml:"x-tim-follows"`
}

type message struct {
	ContentType string `yaml:"contentType"`
	Payload     struct {
		Schema reference `yaml:"schema"`
	} `yaml:"payload"`
}

// closeCode is a status with which the server closes a socket.
type closeCode struct {
	Code      int    `yaml:"code"`
	Name      string `yaml:"name"`
	Meaning   string `yaml:"meaning"`
	Reconnect bool   `yaml:"reconnect"`
}

type reference struct {
	Ref string `yaml:"$ref"`
}

// last is the name that a reference ends in.
func (r reference) last() string { return r.Ref[strings.LastIndexByte(r.Ref, '/')+1:] }

// ordered is a mapping in the order of the file.
type ordered[T any] []entry[T]

type entry[T any] struct {
	name  string
	value T
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *ordered[T]) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: must be a mapping", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		e := entry[T]{name: node.Content[i].Value}
		if err := node.Content[i+1].Decode(&e.value); err != nil {
			return err
		}
		*o = append(*o, e)
	}
	return nil
}

func (o ordered[T]) get(name string) (value T, ok bool) {
	for _, e := range o {
		if e.name == name {
			return e.value, true
		}
	}
	return value, false
}

func readDocument(path string) (*document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := new(document)
	if err := yaml.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return d, d.check()
}

// check refuses a document in which a name leads nowhere.
func (d *document) check() error {
	for _, o := range d.Operations {
		c, ok := d.Channels.get(o.value.Channel.last())
		if !ok {
			return fmt.Errorf("operation %s: there is no channel %q", o.name, o.value.Channel.Ref)
		}
		if o.value.Action != "receive" && o.value.Action != "send" {
			return fmt.Errorf("operation %s: its action is %q", o.name, o.value.Action)
		}
		refs := slices.Clone(o.value.Messages)
		if len(refs) == 0 {
			return fmt.Errorf("operation %s carries no message", o.name)
		}
		if o.value.Reply != nil {
			refs = append(refs, o.value.Reply.Messages...)
		}
		for _, ref := range refs {
			m, ok := d.Components.Messages.get(ref.last())
			if _, here := c.Messages.get(ref.last()); !ok || !here {
				return fmt.Errorf("operation %s: its channel has no message %q", o.name, ref.Ref)
			}
			if m.Payload.Schema.Ref == "" {
				return fmt.Errorf("operation %s: message %s has no schema", o.name, ref.last())
			}
		}
	}
	for _, c := range d.Channels {
		if _, ok := d.CloseCodes.get(c.value.CloseCodes); !ok {
			return fmt.Errorf("channel %s: there are no close codes %q", c.name, c.value.CloseCodes)
		}
	}
	return nil
}

// schemaOf is the name of the schema of a message.
func (d *document) schemaOf(ref reference) string {
	m, _ := d.Components.Messages.get(ref.last())
	return m.Payload.Schema.last()
}
