package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/auth"
	"tim/internal/fault"
)

const signingKey = "Kq7 is the tests' own, Wd3Zx9 nobody else's"

// sign makes a token like the server's, for the session of a valid one, with the test's changes.
func sign(t testing.TB, good string, method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(good, claims); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(claims)
	}
	text, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// unauthenticated is the original server's text for everything that can be wrong with a token.
func unauthenticated(reason fault.Reason) want {
	return want{http.StatusUnauthorized, reason, "用户认证失败请查询登录", "not authenticated; please log in"}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--jwt-key="+signingKey)
	good := s.enter(t, "tk.a")
	s.enter(t, "tk.b")
	ended := s.login(t, "tk.a")
	s.succeedsOnce(t, ask{path: "/Tim/UserLogout", token: ended}, "退出成功")
	key := []byte(signingKey)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hs := jwt.SigningMethodHS256
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	drop := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	past := time.Now().Add(-2 * time.Hour).Unix()
	parts := strings.Split(good, ".")

	for name, tt := range map[string]struct {
		token  string
		reason fault.Reason
	}{
		"none":                   {"", fault.MissingToken},
		"garbage":                {"garbage", fault.InvalidToken},
		"dots":                   {"..", fault.InvalidToken},
		"Bearer":                 {"Bearer " + good, fault.InvalidToken},
		"no signature":           {parts[0] + "." + parts[1] + ".", fault.InvalidToken},
		"two parts":              {parts[0] + "." + parts[1], fault.InvalidToken},
		"a letter changed":       {flip(good), fault.InvalidToken},
		"very long":              {strings.Repeat("x", 8000), fault.InvalidToken},
		"alg=none":               {sign(t, good, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), fault.InvalidToken},
		"foreign key":            {sign(t, good, hs, []byte("another key of more than thirty-two bytes"), nil), fault.InvalidToken},
		"empty key":              {sign(t, good, hs, []byte{}, nil), fault.InvalidToken},
		"the original's key":     {sign(t, good, hs, []byte("tim"), nil), fault.InvalidToken},
		"HS512":                  {sign(t, good, jwt.SigningMethodHS512, key, nil), fault.InvalidToken},
		"ES256":                  {sign(t, good, jwt.SigningMethodES256, ec, nil), fault.InvalidToken},
		"expired":                {sign(t, good, hs, key, set("exp", past)), fault.ExpiredToken},
		"expired by a second":    {sign(t, good, hs, key, set("exp", time.Now().Unix()-1)), fault.ExpiredToken},
		"expired, foreign key":   {sign(t, good, hs, []byte("another key of more than thirty-two bytes"), set("exp", past)), fault.InvalidToken},
		"other issuer":           {sign(t, good, hs, key, set("iss", "mit")), fault.InvalidToken},
		"no issuer":              {sign(t, good, hs, key, drop("iss")), fault.InvalidToken},
		"no expiry":              {sign(t, good, hs, key, drop("exp")), fault.InvalidToken},
		"not yet good":           {sign(t, good, hs, key, set("nbf", time.Now().Add(time.Hour).Unix())), fault.InvalidToken},
		"no account":             {sign(t, good, hs, key, drop("sub")), fault.InvalidToken},
		"no session":             {sign(t, good, hs, key, drop("jti")), fault.InvalidToken},
		"a number for a session": {sign(t, good, hs, key, set("jti", 7)), fault.InvalidToken},
		"a session of nobody":    {sign(t, good, hs, key, set("jti", "AAAAAAAAAAAAAAAAAAAAAA")), fault.SessionEnded},
		"of an ended session":    {ended, fault.SessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, a := range []ask{
				{path: query("/Tim/getFriends", "account", "tk.a")},
				{path: "/Tim/UserLogout"},
				{path: query("/downloadmp3", "filename", "x")},
				{path: "/uploadmp3", form: fileForm(taggedMP3())},
				{path: "/Tim/addFriend"}, // without a token the answer says nothing about the parameters
				{path: "/websocket/tk.a", header: upgrade()},
			} {
				a.token = tt.token
				s.refused(t, a, unauthenticated(tt.reason))
			}
		})
	}
	t.Run("of another account's session", func(t *testing.T) {
		t.Parallel()
		forged := sign(t, s.login(t, "tk.b"), hs, key, set("sub", "tk.a"))
		s.refused(t, ask{path: query("/Tim/getFriends", "account", "tk.a"), token: forged}, unauthenticated(fault.SessionEnded))
	})
}

// flip changes a letter in the middle of a signature.
func flip(token string) string {
	at := len(token) - 10
	other := byte('A')
	if token[at] == other {
		other = 'B'
	}
	return token[:at] + string(other) + token[at+1:]
}

func TestTokenClaims(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--jwt-key="+signingKey)
	token := s.enter(t, "tc.a")
	other := s.login(t, "tc.a")
	var a, b jwt.RegisteredClaims
	for text, claims := range map[string]*jwt.RegisteredClaims{token: &a, other: &b} {
		parsed, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return []byte(signingKey), nil })
		if err != nil || parsed.Method.Alg() != "HS256" {
			t.Fatalf("%v, signed by %s", err, parsed.Method.Alg())
		}
	}
	if a.ID == b.ID || len(a.ID) < 22 {
		t.Errorf("sessions %q and %q: each login is one of its own, and none can be guessed", a.ID, b.ID)
	}
	if a.Subject != "tc.a" || a.Issuer == "" || a.ExpiresAt.Sub(a.IssuedAt.Time) != time.Hour {
		t.Errorf("claims: %+v", a)
	}
}

// Without a setting the signing key is made once, readable for its owner alone. A weak key is refused.
func TestSigningKeyFile(t *testing.T) {
	t.Parallel()
	settings := apptest.Settings(t, apptest.Embedded)
	s := serve(t, settings)
	token := s.enter(t, "kf.a")
	s.Shutdown(t)
	file := filepath.Join(settings.DataDir, "jwt.key")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v: mode %v, want 0600", err, info.Mode())
	}
	if key, err := os.ReadFile(file); err != nil || len(key) < auth.MinKeyBytes {
		t.Errorf("%v: a key of %d bytes", err, len(key))
	}
	s = serve(t, settings)
	s.friends(t, token, "kf.a")
	s.Shutdown(t)
	if err := os.WriteFile(file, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if server, err := app.Start(t.Context(), settings, quiet()); err == nil || !strings.Contains(err.Error(), "32") {
		t.Errorf("a short key: %v %v", server, err)
	}
}
