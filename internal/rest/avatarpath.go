package rest

import (
	"encoding/base64"
	"net/url"
	"strings"

	"tim/internal/files"
)

// Browsers take a path's part of dots for a step in the tree, however it is encoded, and proxies decode a slash. An account of an old
// database with such a name stands in the links to its avatar as "~" and base64url.
const (
	veiled     = "~"
	mostInPath = 100 // characters of the parameter, as the spec has it
)

// avatarPath is an account in a link to its avatar.
func avatarPath(account string) string {
	if account == "." || account == ".." || strings.ContainsAny(account, `/\`) {
		if veil := veiled + base64.RawURLEncoding.EncodeToString([]byte(account)); len(veil) <= mostInPath {
			return veil
		}
	}
	return url.PathEscape(account)
}

// avatarAccount returns the account of a link, which must be signed for it. An account may also begin as a veiled one does.
func avatarAccount(f *files.Files, path string, expires int64, signature string) (string, error) {
	if text, ok := strings.CutPrefix(path, veiled); ok {
		account, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil && f.CheckAvatar(string(account), expires, signature) == nil {
			return string(account), nil
		}
	}
	return path, f.CheckAvatar(path, expires, signature)
}
