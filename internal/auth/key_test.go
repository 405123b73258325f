package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestConfiguredKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if key, err := Key(testKey[:32], file); err != nil || len(key) != 32 {
		t.Errorf("32 bytes: %q, %v", key, err)
	}
	if _, err := Key(testKey[:31], file); err == nil || !strings.Contains(err.Error(), "31 bytes") {
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
	for name, tt := range map[string]struct {
		content string
		mode    os.FileMode
		want    []string // in the error
	}{
		"empty":            {"", 0o600, []string{"empty", "at least 32"}},
		"short":            {testKey[:31], 0o600, []string{"31 bytes", "at least 32", goodKey}},
		"blank":            {strings.Repeat(" ", 64) + "\n", 0o600, []string{"at least 32", goodKey}},
		"one letter":       {strings.Repeat("a", 32), 0o600, []string{"repeated", goodKey}},
		"another file":     {strings.Repeat(testKey, 3000), 0o600, []string{"65536 bytes"}},
		"others read":      {testKey, 0o604, []string{"0604", "chmod 600 "}},
		"all read":         {testKey, 0o644, []string{"0644", "chmod 600 "}},
		"a group reads":    {testKey, 0o640, []string{"0640", "chmod 600 "}},
		"a group writes":   {testKey, 0o620, []string{"0620", "chmod 600 "}},
		"others do it all": {testKey, 0o777, []string{"0777", "chmod 600 "}},
	} {
		file := filepath.Join(folder, name)
		must(t, os.WriteFile(file, []byte(tt.content), 0o600))
		must(t, os.Chmod(file, tt.mode))
		_, err := Key("", file)
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, part := range append(tt.want, file) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q doesn't say %q", name, err, part)
			}
		}
		if kept, err := os.ReadFile(file); err != nil || string(kept) != tt.content {
			t.Errorf("%s: the file was touched: %q, %v", name, kept, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(folder, "good"), []byte(testKey), 0o400))
	if _, err := Key("", filepath.Join(folder, "good")); err != nil {
		t.Errorf("a file that even its owner can't write: %v", err)
	}
}

// What has the key's name and isn't a file is named as what it is, and stays.
func TestKeysThatAreNoFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "good"), []byte(testKey), 0o600))
	for name, tt := range map[string]struct {
		make func(name string) error
		want string
	}{
		"folder":    {func(name string) error { return os.Mkdir(name, 0o700) }, "folder"},
		"link":      {func(name string) error { return os.Symlink("good", name) }, "symbolic link"},
		"loose end": {func(name string) error { return os.Symlink("nothing", name) }, "symbolic link"},
		"circle":    {func(name string) error { return os.Symlink("circle", name) }, "symbolic link"},
		"pipe":      {func(name string) error { return syscall.Mkfifo(name, 0o600) }, "no regular file"},
	} {
		file := filepath.Join(folder, name)
		must(t, tt.make(file))
		if _, err := Key("", file); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Key("", filepath.Join(folder, "missing", "key")); err == nil {
		t.Error("a key is kept in a folder that isn't there")
	}
}

// Keys that can be guessed are refused, as they are and in hex or base64.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	for _, key := range []string{
		strings.Repeat("a", 32), strings.Repeat("\x00", 40), strings.Repeat("1", 33), strings.Repeat("密", 12),
		strings.Repeat("ab", 20), strings.Repeat("secret-", 8), strings.Repeat("0123456789abcdef", 2), strings.Repeat("0123456789", 4),
		"12345678901234567890123456789012", strings.Repeat("correct horse ", 3), "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccdd",
		"abcdefghijklmnopqrstuvwxyz0123456789", "zyxwvutsrqponmlkjihgfedcba9876543210", "AABBCCDDEEFFGGHHIIJJKKLLMMNNOOPPQQ",
		strings.Repeat(" ", 32), " \t\n" + strings.Repeat(" ", 40), strings.Repeat("=", 44),
		"changeme-changeme-changeme-changeme!", "please CHANGE_ME before you go live 123", "Change.This.Key.To.Something.Random.9",
		"changeme1234567890qazwsxedcrfvtgb", "replace-me-with-a-long-random-string", "your-256-bit-secret-your-256-bit-sec",
		"a-string-secret-at-least-256-bits-long", "your-super-secret-jwt-token-with-at-least-32-characters-long",
		"super-secret-jwt-token-with-at-least-32-characters-long", "qwertyuiopasdfghjklzxcvbnm123456", "my_jwt_secret_key_for_the_chat_server",
		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcUuTwjAzZr1Z9CAow",
		"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg", "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
		"404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970", "reallyreallyreallyreallyverysafe",
		"django-insecure-5&x8k!0q_z2m7c4v9b1n6", "password123password123password123!",
	} {
		encoded := map[string]string{
			"itself": key, "hex": hex.EncodeToString([]byte(key)), "base64": base64.StdEncoding.EncodeToString([]byte(key)),
			"base64url": base64.RawURLEncoding.EncodeToString([]byte(key)),
		}
		for as, text := range encoded {
			if err := CheckKey(text); err == nil || !strings.Contains(err.Error(), goodKey) {
				t.Errorf("%q as %s is taken: %v", key, as, err)
			} else if len(key) > 8 && strings.Contains(err.Error(), key) {
				t.Errorf("the error repeats the key: %v", err)
			}
		}
	}
	if err := CheckKey(testKey[:31] + "    "); err == nil || !strings.Contains(err.Error(), "31 bytes") {
		t.Errorf("31 bytes and blanks: %v", err)
	}
	ascending := make([]byte, 32)
	for i := range ascending {
		ascending[i] = byte(i)
	}
	if err := CheckKey(base64.StdEncoding.EncodeToString(ascending)); err == nil {
		t.Error("the bytes from 0 to 31 are taken")
	}
}

// Random keys are taken, however they are written, and so is a passphrase.
func TestStrongKeys(t *testing.T) {
	t.Parallel()
	random := make([]byte, 32)
	for range 2000 {
		_, err := rand.Read(random)
		must(t, err)
		digits := new(strings.Builder)
		for _, b := range random {
			fmt.Fprint(digits, b%10)
		}
		for _, key := range []string{
			string(random), hex.EncodeToString(random), hex.EncodeToString(random[:16]), strings.ToUpper(hex.EncodeToString(random)),
			base64.StdEncoding.EncodeToString(random), base64.RawURLEncoding.EncodeToString(random), rand.Text() + rand.Text(), digits.String(),
			base64.StdEncoding.EncodeToString(random[:24]), uuid(random) + "\n",
		} {
			if err := CheckKey(key); err != nil && len(strings.TrimSpace(key)) >= MinKeyBytes {
				t.Errorf("%q: %v", key, err)
			}
		}
	}
	for _, key := range []string{testKey, "nine violet tractors hum over lake Ontario", "九只紫色的拖拉机在湖上唱歌然后回家"} {
		if err := CheckKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func uuid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
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
