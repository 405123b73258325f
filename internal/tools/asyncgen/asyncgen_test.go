package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden generates from a small document that has each construct once.
func TestGolden(t *testing.T) {
	t.Parallel()
	root := filepath.Join("testdata", "small")
	for name, generate := range map[string]func(string) ([]byte, error){"sockets": generateSockets, "bodies": generateBodies} {
		got, err := generate(root)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join(root, name+".golden")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(got) {
			t.Errorf("%s is another now; look at it with: go test -C internal/tools ./asyncgen -update && git diff", golden)
		}
	}
}

// TestRefused changes the small document into ones from which nothing may be generated.
func TestRefused(t *testing.T) {
	t.Parallel()
	const asyncapi, frames, openapi = "asyncapi.yaml", "api/frames.yaml", "api/openapi.yaml"
	for name, tt := range map[string]struct{ file, old, new, want string }{
		"a frame that no operation carries": {frames, "    News:\n", "    Lost:\n      type: object\n    News:\n", "no operation carries the frame Lost"},
		"a choice of such": {
			frames, "    News:\n", "    Lost:\n      type: object\n    Any:\n      oneOf: [{ $ref: '#/components/schemas/Lost' }]\n      discriminator: { propertyName: type, mapping: { x: '#/components/schemas/Lost' } }\n    News:\n",
			"no operation carries the frame Lost, of Any",
		},
		"a choice that lacks a request": {
			frames, "    News:\n", "    Any:\n      oneOf: [{ $ref: '#/components/schemas/Say' }]\n      discriminator: { propertyName: type, mapping: { say: '#/components/schemas/Say' } }\n    News:\n",
			"Any has frames of the channel asked, but lacks List",
		},
		"a message that no operation carries":   {asyncapi, "      - $ref: '#/channels/asked/messages/Gone'\n", "", "no operation carries the message Gone"},
		"an operation without a schema":         {asyncapi, "schema: { $ref: './api/frames.yaml#/components/schemas/Say' }", "", "operation say: message Say has no schema"},
		"a schema that isn't there":             {asyncapi, "schemas/Say'", "schemas/Sya'", "api/frames.yaml has no schema Sya"},
		"a channel that isn't there":            {asyncapi, "    channel: { $ref: '#/channels/echo' }\n", "    channel: { $ref: '#/channels/ehco' }\n", "there is no channel"},
		"a request without a reply":             {asyncapi, "  push:\n", "  again:\n    action: receive\n    channel: { $ref: '#/channels/asked' }\n    messages: [{ $ref: '#/channels/asked/messages/Say' }]\n  push:\n", "some of its operations have a reply and some have none"},
		"a reply without Error":                 {asyncapi, "        - $ref: '#/channels/asked/messages/Said'\n        - $ref: '#/channels/asked/messages/Error'\n", "        - $ref: '#/channels/asked/messages/Said'\n", "its answer and Error"},
		"close codes that aren't there":         {asyncapi, "    x-tim-close-codes: plain\n", "    x-tim-close-codes: other\n", `there are no close codes "other"`},
		"a parameter that isn't in the address": {asyncapi, "/echo/{room}", "/echo/{place}", "its address has no room"},
		"a type that isn't constant":            {frames, "type: { type: string, enum: [say] }", "type: { type: string }", "needs a type that is always the same"},
		"an array without a bound":              {frames, "maxItems: 3, ", "", "an array that a client sends needs maxItems"},
		"a bound that isn't known":              {frames, "required: [text]\n      properties:\n        text: { type: string, maxLength: 10 }", "required: [text]\n      properties:\n        text: { type: string, format: email, maxLength: 10 }", "format email is not known"},
		"allOf":                                 {frames, "Say:\n      type: object\n", "Say:\n      type: object\n      allOf: [{ type: object }]\n", "allOf, multipleOf and uniqueItems are not known"},
		"a choice that nothing decides":         {openapi, "      x-tim-discriminator:\n", "      x-else:\n", "a choice without a discriminator"},
		"a text with two variable parts":        {frames, `'^\+.+ is here$'`, `'^.+ is .+$'`, "must have constant parts around one that varies"},
		"a body that is no object":              {openapi, "              type: object\n              required: [body]", "              type: string\n              required: [body]", "its body must be an object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for _, file := range []string{asyncapi, frames, openapi} {
				text, err := os.ReadFile(filepath.Join("testdata", "small", file))
				if err != nil {
					t.Fatal(err)
				}
				if file == tt.file {
					changed := strings.Replace(string(text), tt.old, tt.new, 1)
					if changed == string(text) {
						t.Fatalf("%s has no %q", file, tt.old)
					}
					text = []byte(changed)
				}
				if err := write(filepath.Join(root, file), text); err != nil {
					t.Fatal(err)
				}
			}
			err := run(root)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
