package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudoterminal: what a test types on keys comes from tty, and what is written to tty is shown.
type terminal struct {
	keys, tty *os.File

	mu    sync.Mutex
	shown bytes.Buffer
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	raw, err := keys.SyscallConn()
	must(t, err)
	var number int
	must(t, raw.Control(func(fd uintptr) {
		err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		if err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() {
		if t.Name() != "TestPasswordInterrupted" { // there a goroutine still restores the terminal by its number
			_ = tty.Close()
		}
	})
	term := &terminal{keys: keys, tty: tty}
	go func() {
		part := make([]byte, 100)
		for {
			n, err := keys.Read(part)
			if err != nil {
				return
			}
			term.mu.Lock()
			term.shown.Write(part[:n])
			term.mu.Unlock()
		}
	}()
	return term
}

func (term *terminal) screen() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.shown.String()
}

// shows waits until the terminal shows a text.
func (term *terminal) shows(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(term.screen(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it doesn't show %q: %q", text, term.screen())
		}
	}
}

// asks waits until the terminal asks a question and shows nothing more of what is typed.
func (term *terminal) asks(t *testing.T, question string) {
	t.Helper()
	term.shows(t, question)
	for end := time.Now().Add(20 * time.Second); term.echoes(t); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it shows what is typed")
		}
	}
}

// echoes reports whether the terminal shows what is typed.
func (term *terminal) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
	must(t, err)
	return state.Lflag&unix.ECHO != 0
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPasswordFromATerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, first, second, want string
		err                       error
	}{
		{"twice the same", "geheim 密码\n", "geheim 密码\n", "geheim 密码", nil},
		{"different", "geheim\n", "geheimer\n", "", errNotTheSame},
		{"nothing", "\n", "", "", errNoPassword},
		{"nothing again", "geheim\n", "\n", "", errNotTheSame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			term := openTerminal(t)
			typed := make(chan error, 1)
			go func() {
				term.asks(t, "new password: ")
				_, err := term.keys.WriteString(tt.first)
				if err == nil && tt.second != "" {
					term.asks(t, "the same again: ")
					_, err = term.keys.WriteString(tt.second)
				}
				typed <- err
			}()
			got, err := newPassword(t.Context(), term.tty, term.tty)
			must(t, <-typed)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
			if strings.Contains(term.screen(), "geheim") {
				t.Errorf("the terminal shows the password: %q", term.screen())
			}
			if !term.echoes(t) {
				t.Error("the terminal shows nothing any more")
			}
		})
	}
}

// Ctrl-C ends the question, and the terminal shows again what is typed.
func TestPasswordInterrupted(t *testing.T) {
	t.Parallel()
	term := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		term.asks(t, "new password: ")
		cancel()
	}()
	if _, err := newPassword(ctx, term.tty, term.tty); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !term.echoes(t) {
		t.Error("the terminal shows nothing any more")
	}
	_, err := term.keys.WriteString("\n") // ends the goroutine that reads
	must(t, err)
}

// Where there is no terminal, the first line is the password, and nothing is asked.
func TestPasswordFromAPipe(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		input, want string
		err         error
	}{
		{"geheim\n", "geheim", nil},
		{"geheim", "geheim", nil},
		{"geheim\r\nmore\n", "geheim", nil},
		{" geheim \n", " geheim ", nil},
		{"", "", errNoPassword},
		{"\n", "", errNoPassword},
		{strings.Repeat("x", maxPasswordLine), "", errPasswordLine},
	} {
		in, out, err := os.Pipe()
		must(t, err)
		defer in.Close()
		_, err = out.WriteString(tt.input)
		must(t, errors.Join(err, out.Close()))
		var prompts bytes.Buffer
		got, err := newPassword(t.Context(), in, &prompts)
		if got != tt.want || !errors.Is(err, tt.err) || prompts.Len() > 0 {
			t.Errorf("%q: got %q, %v, asked %q", tt.input, got, err, prompts.String())
		}
	}
}
