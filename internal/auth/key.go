package auth

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// MinKeyBytes is the least length of a signing key: that of HS256's hash, as RFC 7518 section 3.2 demands.
const MinKeyBytes = 32

// Key returns the signing key: the configured one or, if none is configured, the one in the file. If there is no file, Key
// makes a random key and writes the file with mode 0600. A key that CheckKey refuses is an error, and so is a file that others
// may read.
func Key(configured, file string) ([]byte, error) {
	if configured != "" {
		if err := CheckKey(configured); err != nil {
			return nil, fmt.Errorf("the signing key %w", err)
		}
		return []byte(configured), nil
	}
	key, err := readKey(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(file); err != nil {
			return nil, err
		}
		key, err = readKey(file)
	}
	return key, err
}

// maxKeyFile is how many bytes a key's file may have.
const maxKeyFile = 64 << 10

// readKey reads the key in a file. The error is fs.ErrNotExist if there is nothing of that name, not even a symbolic link.
func readKey(name string) ([]byte, error) {
	seen, err := os.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	switch mode := seen.Mode(); {
	case mode.Type() == fs.ModeSymlink:
		return nil, fmt.Errorf("the signing key %s is a symbolic link; put the file itself there, or its content into TIM_JWT_KEY", name)
	case mode.IsDir():
		return nil, fmt.Errorf("the signing key %s is a folder; remove it to get a new key", name)
	case !mode.IsRegular():
		return nil, fmt.Errorf("the signing key %s is no regular file; remove it to get a new key", name)
	case mode.Perm()&0o077 != 0 && runtime.GOOS != "windows": // where modes say nothing
		return nil, fmt.Errorf("others than its owner may read or write the signing key %s, whose mode is %#o; "+
			"run: chmod 600 %[1]s, and if others may have read it, remove it to get a new key, which logs everybody out", name, mode.Perm())
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	if opened, err := file.Stat(); err != nil || !os.SameFile(seen, opened) {
		return nil, errors.Join(fmt.Errorf("the signing key %s was replaced while it was read", name), err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the signing key: %w", err)
	case len(text) == 0:
		return nil, fmt.Errorf("the signing key %s is empty; it must have at least %d bytes; remove it to get a new key", name, MinKeyBytes)
	case len(text) > maxKeyFile:
		return nil, fmt.Errorf("the signing key %s has more than %d bytes; is it another file? Remove it to get a new key", name, maxKeyFile)
	}
	key := strings.TrimSpace(string(text))
	if err := CheckKey(key); err != nil {
		return nil, fmt.Errorf("the signing key in %s %w; or remove the file to get a new key", name, err)
	}
	return []byte(key), nil
}

// makeKey writes a new key to a temporary file and links it to its name. So a crash leaves no incomplete key, and of two
// processes that start at once both use the key of the one that links first.
func makeKey(file string) error {
	random := make([]byte, MinKeyBytes)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("make a signing key: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "key-*") // CreateTemp makes it with mode 0600
	if err != nil {
		return fmt.Errorf("store the signing key: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // the link below keeps the content
	_, err = temporary.WriteString(base64.RawURLEncoding.EncodeToString(random))
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("store the signing key: %w", err)
	}
	if err := os.Link(temporary.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store the signing key: %w", err)
	}
	return nil
}

// Derive returns a key that is derived from another one for one purpose, so that each use has a key of its own (HKDF, RFC
// 5869).
func Derive(key []byte, purpose string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, MinKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return derived, nil
}
