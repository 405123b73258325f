package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"testing"
	"time"

	"tim/internal/auth"
)

// signLink makes a link to an avatar as the server, with the tests' signing key, would have made it at some time.
func signLink(t testing.TB, account string, until time.Time) (expires, signature string) {
	t.Helper()
	key, err := auth.Derive([]byte(signingKey), "tim avatar links")
	if err != nil {
		t.Fatal(err)
	}
	expires = strconv.FormatInt(until.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(expires + "\n" + account))
	return expires, base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
