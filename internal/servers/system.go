package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// Ports are chosen below the range that Linux uses for outgoing connections (32768 and up), so that no client takes the port
	// of a server that is down for a moment. Redis Cluster also needs port+10000.
	firstPort    = 12000
	portCount    = 10000
	busDistance  = 10000
	portAttempts = 100
	answerWithin = 10 * time.Second // for one question to a program or server on this machine

	// Another process may take a free port before the server does; the start is then repeated on another port.
	startAttempts = 5
)

// LookPath finds a server's program: in PATH, in the folders for servers that an ordinary user's PATH lacks on Debian, and where
// `go install` puts programs.
func LookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	folders := []string{"/usr/local/sbin", "/usr/sbin"}
	if home, err := os.UserHomeDir(); err == nil {
		folders = append(folders, filepath.Join(home, "go", "bin"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "env", "GOBIN", "GOPATH").Output(); err == nil {
		goBin, goPath, _ := strings.Cut(string(out), "\n")
		folders = append(folders, goBin)
		for _, path := range filepath.SplitList(strings.TrimSpace(goPath)) {
			folders = append(folders, filepath.Join(path, "bin"))
		}
	}
	for _, folder := range folders {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil && folder != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: run `make deps`", name)
}

// FreePort returns a port of the loopback address that is free, as is the one 10000 above it. Linux doesn't use it for outgoing
// connections. Another process may take it before the caller does.
func FreePort() (int, error) {
	for range portAttempts {
		port := firstPort + rand.IntN(portCount) //nolint:gosec // no secret
		if portFree(port) && portFree(port+busDistance) {
			return port, nil
		}
	}
	return 0, errors.New("no free port found")
}

func portFree(port int) bool {
	listener, err := net.Listen("tcp", loopback(port)) //nolint:noctx // nothing to wait for
	if err != nil {
		return false
	}
	return listener.Close() == nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// processState returns the kernel's letter for the state of the process: R, S, D, T (stopped), Z (ended).
func processState(pid int) (byte, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("state of process %d: %w", pid, err)
	}
	// The name before the state stands in parentheses and may hold any character.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || end+2 >= len(stat) {
		return 0, fmt.Errorf("state of process %d: %q", pid, stat)
	}
	return stat[end+2], nil
}

// listens tells whether the process itself listens on the loopback port. An answer from the port alone could come from another
// process.
func listens(pid, port int) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		return false
	}
	sockets := map[string]bool{}
	local := fmt.Sprintf("0100007F:%04X", port)
	for line := range strings.Lines(string(table)) {
		const listening = "0A"
		if f := strings.Fields(line); len(f) > 9 && f[1] == local && f[3] == listening {
			sockets["socket:["+f[9]+"]"] = true
		}
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && sockets[target] {
			return true
		}
	}
	return false
}

// until calls f until it returns nil. After the time it returns the last error.
func until(within time.Duration, f func() error) error {
	for deadline := time.Now().Add(within); ; time.Sleep(pollEvery) {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// disguise has a process of root's take itself for one of the user nobody, for programs that refuse root. In a user namespace of its
// own it keeps root's access to files.
func disguise(attr *syscall.SysProcAttr) {
	const nobody = 65534
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getgid(), Size: 1}}
}
