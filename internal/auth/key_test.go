package auth

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestConfiguredKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if key, err := Key(strings.Repeat("k", 32), file); err != nil || len(key) != 32 {
		t.Errorf("32 bytes: %q, %v", key, err)
	}
	if _, err := Key(strings.Repeat("k", 31), file); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("31 bytes: %v", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a configured key needs no file: %v", err)
	}
}

func TestKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "key")
	first, err := Key("", file)
	must(t, err)
	if len(first) < MinKeyBytes {
		t.Errorf("the key has %d bytes", len(first))
	}
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	second, err := Key("", file)
	must(t, err)
	if !bytes.Equal(first, second) {
		t.Error("the second time it is another key")
	}
	other, err := Key("", filepath.Join(t.TempDir(), "key"))
	must(t, err)
	if bytes.Equal(first, other) {
		t.Error("two folders have the same key")
	}
	alone(t, folder)
}

// alone fails the test unless the folder holds the key's file and nothing else.
func alone(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "key" {
		t.Errorf("the folder holds %v", entries)
	}
}

func TestTwoProcessesMakeOneKey(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	must(t, err)
	folder := t.TempDir()
	keys := make([]string, 6)
	var work sync.WaitGroup
	for i := range keys {
		work.Go(func() {
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Dir, cmd.Env = folder, append(os.Environ(), printKeyEnv+"=yes")
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("process %d: %v", i, err)
			}
			keys[i] = string(out)
		})
	}
	work.Wait()
	for _, key := range keys {
		if key != keys[0] || key == "" {
			t.Fatalf("the processes have the keys %q", keys)
		}
	}
	kept, err := Key("", filepath.Join(folder, "key"))
	must(t, err)
	if base64.StdEncoding.EncodeToString(kept) != keys[0] {
		t.Error("the file holds another key than the processes have")
	}
	alone(t, folder)
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, content := range map[string]string{"empty": "", "short": strings.Repeat("k", 31), "blank": strings.Repeat(" ", 64) + "\n"} {
		file := filepath.Join(folder, name)
		must(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := Key("", file)
		if err == nil || !strings.Contains(err.Error(), "at least 32") || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(file); err != nil || string(kept) != content {
			t.Errorf("%s: the file was touched: %q, %v", name, kept, err)
		}
	}
	if _, err := Key("", folder); err == nil {
		t.Error("a folder is taken for a key")
	}
	if _, err := Key("", filepath.Join(folder, "missing", "key")); err == nil {
		t.Error("a key is kept in a folder that isn't there")
	}
}

func TestKeyFileMayEndInANewline(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(file, []byte(testKey+"\n"), 0o600))
	if key, err := Key("", file); err != nil || string(key) != testKey {
		t.Errorf("got %q, %v", key, err)
	}
}

func TestDerivedKeysDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]string{testKey: "the key itself"}
	for _, purpose := range []string{"links", "link", ""} {
		derived, err := Derive([]byte(testKey), purpose)
		must(t, err)
		if len(derived) != MinKeyBytes {
			t.Errorf("%q: %d bytes", purpose, len(derived))
		}
		if other, twice := seen[string(derived)]; twice {
			t.Errorf("%q has the key of %q", purpose, other)
		}
		seen[string(derived)] = purpose
		again, err := Derive([]byte(testKey), purpose)
		must(t, err)
		if !bytes.Equal(again, derived) {
			t.Errorf("%q: the second time it is another key", purpose)
		}
	}
}
