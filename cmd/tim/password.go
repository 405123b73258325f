package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPasswordLine bounds what is read of a password. No password is longer than 72 bytes.
const maxPasswordLine = 4096

var (
	errNoPassword   = errors.New("no password was given")
	errNotTheSame   = errors.New("the two passwords differ; nothing was changed")
	errPasswordLine = errors.New("the password's line is too long")
)

// newPassword reads a new password: from a terminal twice and without showing it, else the first line of in, without a prompt.
func newPassword(ctx context.Context, in *os.File, prompts io.Writer) (string, error) {
	if !term.IsTerminal(int(in.Fd())) {
		return firstLine(in)
	}
	password, err := hidden(ctx, in, prompts, "new password: ")
	if err != nil {
		return "", err
	}
	if password == "" {
		return "", errNoPassword
	}
	again, err := hidden(ctx, in, prompts, "the same again: ")
	if err != nil {
		return "", err
	}
	if again != password {
		return "", errNotTheSame
	}
	return password, nil
}

// hidden asks a terminal for a line and doesn't show it. When ctx ends, as on Ctrl-C, it puts the terminal back as it was; the
// goroutine that reads then ends with the process.
func hidden(ctx context.Context, in *os.File, prompts io.Writer, prompt string) (string, error) {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("terminal: %w", err)
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	if _, err := fmt.Fprint(prompts, prompt); err != nil {
		return "", err
	}
	go func() {
		text, err := term.ReadPassword(int(in.Fd()))
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		_, err = fmt.Fprintln(prompts)
		switch {
		case errors.Is(l.err, io.EOF):
			return "", errNoPassword
		case l.err != nil:
			return "", fmt.Errorf("terminal: %w", l.err)
		case err != nil:
			return "", err
		case len(l.text) > maxPasswordLine:
			return "", errPasswordLine
		}
		return string(l.text), nil
	case <-ctx.Done():
		_, err = fmt.Fprintln(prompts)
		return "", errors.Join(ctx.Err(), term.Restore(int(in.Fd()), before), err)
	}
}

func firstLine(in io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if len(text) == maxPasswordLine {
		return "", errPasswordLine
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", errNoPassword
	}
	return text, nil
}
