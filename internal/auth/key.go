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

// MinKeyBytes is the least a signing key may have: the size of HS256's hash, as RFC 7518 section 3.2 demands.
const MinKeyBytes = 32

// Key returns the signing key: the configured one, or, where none is configured, the one kept in the file, which is
// made with mode 0600 when it isn't there yet. A key of less than MinKeyBytes is refused.
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
		return nil, fmt.Errorf("the signing key in %s has %d bytes and must have at least %d; delete the file to have one made", file, len(key), MinKeyBytes)
	}
	return key, nil
}

// makeKey writes a new key beside its place and links it there, so that a crash leaves no half key and of two
// processes starting at once both use the first one's.
func makeKey(file string) ([]byte, error) {
	random := make([]byte, MinKeyBytes)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "key-*") // mode 0600 by definition
	if err != nil {
		return nil, fmt.Errorf("keep the signing key: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // only the link below is kept
	_, err = temporary.WriteString(base64.RawURLEncoding.EncodeToString(random))
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return nil, fmt.Errorf("keep the signing key: %w", err)
	}
	if err := os.Link(temporary.Name(), file); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keep the signing key: %w", err)
	}
	return Key("", file)
}

// Derive returns a key of its own for another purpose, so that no two uses share one.
func Derive(key []byte, purpose string) ([]byte, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, MinKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the key for %s: %w", purpose, err)
	}
	return derived, nil
}
