package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// copyTree copies this repository, so that a test can change its specs.
func copyTree(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	from := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch entry.Name() {
		case ".git", "bin", "node_modules", "data":
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // of a worktree .git is a file
		}
		if entry.IsDir() || !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return write(filepath.Join(root, name), text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// change replaces a text that a file has once.
func change(t *testing.T, root, file, was, is string) {
	t.Helper()
	path := filepath.Join(root, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), was) != 1 {
		t.Fatalf("%s has %d times %q", file, strings.Count(string(text), was), was)
	}
	if err := write(path, []byte(strings.Replace(string(text), was, is, 1))); err != nil {
		t.Fatal(err)
	}
}

// command runs a program in a copy of the tree.
func command(t *testing.T, root, name string, args ...string) (output string, err error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = root
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	text, err := c.CombinedOutput()
	return string(text), err
}

const wave = `    Wave:
      type: object
      description: Waves to somebody; answered by ` + "`done`" + `.
      required: [type, id, conversation]
      properties:
        type: { type: string, enum: [wave] }
        id: { $ref: '#/components/schemas/RequestID' }
        conversation: { $ref: './openapi.yaml#/components/schemas/Target' }
      example: { type: wave, id: r6, conversation: { user: bob } }
    Subscribe:
`

// TestRequestOfTheSpecAlone adds a request to the specs alone: the server doesn't compile until it has a method for it.
func TestRequestOfTheSpecAlone(t *testing.T) {
	t.Parallel()
	root := copyTree(t)
	change(t, root, "api/frames.yaml", "    Subscribe:\n", wave)
	const choice, mapping = "        - $ref: '#/components/schemas/Subscribe'\n", "          subscribe: '#/components/schemas/Subscribe'\n"
	change(t, root, "api/frames.yaml", choice, "        - $ref: '#/components/schemas/Wave'\n"+choice)
	change(t, root, "api/frames.yaml", mapping, "          wave: '#/components/schemas/Wave'\n"+mapping)
	change(t, root, "asyncapi.yaml", "      Subscribe: { $ref: '#/components/messages/Subscribe' }\n",
		"      Wave: { $ref: '#/components/messages/Wave' }\n      Subscribe: { $ref: '#/components/messages/Subscribe' }\n")
	change(t, root, "asyncapi.yaml", "  subscribe:\n    action: receive\n", `  wave:
    action: receive
    summary: Waves to somebody.
    channel: { $ref: '#/channels/timV1' }
    messages:
      - $ref: '#/channels/timV1/messages/Wave'
    reply:
      channel: { $ref: '#/channels/timV1' }
      messages:
        - $ref: '#/channels/timV1/messages/Done'
        - $ref: '#/channels/timV1/messages/Error'
  subscribe:
    action: receive
`)
	change(t, root, "asyncapi.yaml", "    Subscribe:\n      name: Subscribe\n", `    Wave:
      name: Wave
      contentType: application/json
      payload:
        schemaFormat: application/vnd.oai.openapi;version=3.0.0
        schema: { $ref: './api/frames.yaml#/components/schemas/Wave' }
    Subscribe:
      name: Subscribe
`)
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	output, err := command(t, root, "go", "build", "./internal/timv1")
	if err == nil || !strings.Contains(output, "missing method Wave") {
		t.Errorf("the server compiles without the request: %v\n%s", err, output)
	}
}

// TestFrameThatNothingCarries adds a frame to the schemas that no operation carries.
func TestFrameThatNothingCarries(t *testing.T) {
	t.Parallel()
	root := copyTree(t)
	change(t, root, "api/frames.yaml", "    Subscribe:\n", wave)
	if err := run(root); err == nil || !strings.Contains(err.Error(), "no operation carries the frame Wave") {
		t.Errorf("generated: %v", err)
	}
}

// TestBoundOfTheSpecAlone halves a bound in the spec alone: both faces keep to it after generation.
func TestBoundOfTheSpecAlone(t *testing.T) {
	t.Parallel()
	root := copyTree(t)
	const id = "      description: The sender's own id of a message, unique among those it sends to the conversation.\n      minLength: 1\n      maxLength: "
	change(t, root, "api/openapi.yaml", id+"64\n", id+"32\n")
	if err := run(root); err != nil {
		t.Fatal(err)
	}
	if err := write(filepath.Join(root, "internal/app/bound_test.go"), []byte(`package app_test

import (
	"strings"
	"testing"
)

func TestBound(t *testing.T) {
	b := newBothFaces(t)
	long := bodyWith("clientId", `+"`\"`+strings.Repeat(\"c\", 33)+`\"`"+`)
	want := refusal{"invalid_body", "clientId", "must have at most 32 characters"}
	diff(t, "REST", want, b.rest(t, long))
	diff(t, "tim.v1", want, b.frame(t, long))
	fits := strings.Replace(long, "c\"", "\"", 1)
	diff(t, "REST", refusal{"unknown_account", "", ""}, b.rest(t, fits))
	diff(t, "tim.v1", refusal{"unknown_account", "", ""}, b.frame(t, fits))
}
`)); err != nil {
		t.Fatal(err)
	}
	if output, err := command(t, root, "go", "test", "-run", "^TestBound$", "-v", "./internal/app"); err != nil || !strings.Contains(output, "--- PASS: TestBound") {
		t.Errorf("the bound isn't kept: %v\n%s", err, output)
	}
}
