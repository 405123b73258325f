package auth

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MinKeyBytes is the least length of a signing key: that of HS256's hash, as RFC 7518 section 3.2 demands.
const MinKeyBytes = 32

// Key returns the signing key: the configured one or, if none is configured, the one in the file. If there is no file, Key
// makes a random key and writes the file with mode 0600. A key of less than MinKeyBytes is an error.
func Key(configured, file string) ([]byte, error) {
	if configured != "" {
		if len(configured) < MinKeyBytes {
			return nil, fmt.Errorf("the signing key has %d bytes and must have at least %d", len(configured), MinKeyBytes)
		}
		return []byte(configured), nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	key := []byte(strings.TrimSpace(string(text)))
	if len(key) < MinKeyBytes {
		return nil, fmt.Errorf("the signing key in %s has %d bytes and must have at least %d; delete the file to get a new one", file, len(key), MinKeyBytes)
	}
	return key, nil
}

// makeKey writes a new key to a temporary file and links it to its name. So a crash leaves no incomplete key, and of two
// processes that start at once both use the key of the one that links first.
func makeKey(file string) ([]byte, error) {
	random := make([]byte, MinKeyBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "key-*") // CreateTemp makes it with mode 0600
	if err != nil {
		return nil, fmt.Errorf("store the signing key: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // the link below keeps the content
	_, err = temporary.WriteString(base64.RawURLEncoding.EncodeToString(random))
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return nil, fmt.Errorf("store the signing key: %w", err)
	}
	if err := os.Link(temporary.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("store the signing key: %w", err)
	}
	return Key("", file)
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
