package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/fault"
)

func TestTokenHoldsWhatTheContractSays(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	before := time.Now().Truncate(time.Second)
	text, s := n.login(t, "alice")
	var claims jwt.MapClaims = map[string]any{}
	token, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return []byte(testKey), nil })
	must(t, err)
	if token.Method != jwt.SigningMethodHS256 {
		t.Errorf("signed by %s", token.Method.Alg())
	}
	issued, err := claims.GetIssuedAt()
	must(t, err)
	expires, err := claims.GetExpirationTime()
	must(t, err)
	if issued.Before(before) || issued.After(time.Now()) || expires.Sub(issued.Time) != TokenLife {
		t.Errorf("issued %s, expires %s", issued, expires)
	}
	if claims["sub"] != "alice" || claims["iss"] != "tim" || claims["jti"] != s.ID || len(s.ID) < 22 || len(claims) != 5 {
		t.Errorf("the claims are %v, the session %v", claims, s)
	}
	if s.Account != "alice" || !s.Expires.Equal(expires.Time) {
		t.Errorf("the session is %+v", s)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	good, s := n.login(t, "alice")
	now := time.Now()
	claims := jwt.MapClaims{"jti": s.ID, "sub": "alice", "iss": "tim", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		changed := maps.Clone(claims)
		change(changed)
		text, err := jwt.NewWithClaims(method, changed).SignedString(key)
		must(t, err)
		return text
	}
	hs256 := func(change func(jwt.MapClaims)) string { return sign(jwt.SigningMethodHS256, []byte(testKey), change) }
	as := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	without := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	same := func(jwt.MapClaims) {}
	parts := strings.Split(good, ".")
	if _, err := n.Authenticate(t.Context(), hs256(same)); err != nil {
		t.Fatalf("the pattern of the others is refused: %v", err)
	}
	for _, tt := range []struct {
		name, token string
		want        fault.Reason
	}{
		{"none", "", fault.MissingToken},
		{"no token at all", "token", fault.InvalidToken},
		{"three empty parts", "..", fault.InvalidToken},
		{"alg=none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same), fault.InvalidToken},
		{"alg=none in the place of ours", noneHeader + "." + parts[1] + ".", fault.InvalidToken},
		{"alg=none with our signature", noneHeader + "." + parts[1] + "." + parts[2], fault.InvalidToken},
		{"HS512 by our key", sign(jwt.SigningMethodHS512, []byte(testKey), same), fault.InvalidToken},
		{"another key", sign(jwt.SigningMethodHS256, []byte("tim"), same), fault.InvalidToken},
		{"an empty key", sign(jwt.SigningMethodHS256, []byte{}, same), fault.InvalidToken},
		{"no signature", parts[0] + "." + parts[1] + ".", fault.InvalidToken},
		{"a changed signature", good[:len(good)-2] + flip(good[len(good)-2]) + good[len(good)-1:], fault.InvalidToken},
		{"expired", hs256(as("exp", now.Add(-time.Second).Unix())), fault.ExpiredToken},
		{"expired and forged", sign(jwt.SigningMethodHS256, []byte("tim"), as("exp", now.Add(-time.Hour).Unix())), fault.InvalidToken},
		{"never expiring", hs256(without("exp")), fault.InvalidToken},
		{"an expiry that is no number", hs256(as("exp", "tomorrow")), fault.InvalidToken},
		{"not valid yet", hs256(as("nbf", now.Add(time.Hour).Unix())), fault.InvalidToken},
		{"another issuer", hs256(as("iss", "tom")), fault.InvalidToken},
		{"no issuer", hs256(without("iss")), fault.InvalidToken},
		{"no account", hs256(without("sub")), fault.InvalidToken},
		{"an empty account", hs256(as("sub", "")), fault.InvalidToken},
		{"no session", hs256(without("jti")), fault.InvalidToken},
		{"an empty session", hs256(as("jti", "")), fault.InvalidToken},
		{"a session that never was", hs256(as("jti", "AAAAAAAAAAAAAAAAAAAAAA")), fault.SessionEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := n.Authenticate(t.Context(), tt.token)
			refused(t, err, tt.want)
		})
	}
}

// noneHeader is {"alg":"none","typ":"JWT"}.
const noneHeader = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"

func flip(letter byte) string {
	if letter == 'A' {
		return "Q"
	}
	return "A"
}

// The clock of the node that signed may be ahead of this one's.
func TestTokenFromALittleInTheFuture(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	text, _, err := n.sign("alice", s.ID, time.Now().Add(30*time.Second))
	must(t, err)
	if _, err := n.Authenticate(t.Context(), text); err != nil {
		t.Error(err)
	}
}

// A session belongs to its account: another account's token with its id opens nothing.
func TestSessionOfAnotherAccount(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	text, _, err := n.sign("bob", s.ID, time.Now())
	must(t, err)
	_, err = n.beside().Authenticate(t.Context(), text)
	refused(t, err, fault.SessionEnded)
}

// BenchmarkAuthenticate is what every request pays whose session was seen a moment ago.
func BenchmarkAuthenticate(b *testing.B) {
	n := onSQLite(b)
	n.register(b, "alice")
	token, _ := n.login(b, "alice")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// What is read in one go is read as the library reads it, or not at all.
func TestPlainTokens(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	now := time.Now()
	for _, account := range []string{"alice", "Ærø", "张三", "a b", `quo"te`, `back\slash`, "<tag>&", `","exp":1`, "\u2028", "a\x00", "\xff", ""} {
		text, _, err := n.sign(account, "a session", now)
		must(t, err)
		got, ok := n.plain.read(text, now)
		if plain := account == "alice" || account == "Ærø" || account == "张三" || account == "a b"; ok != plain {
			t.Errorf("%q: plain: %t", account, ok)
		}
		want, err := n.parse(text)
		if ok && (err != nil || got != want) {
			t.Errorf("%q: %+v, and the library: %+v, %v", account, got, want, err)
		}
		if _, ok := n.plain.read(text, now.Add(TokenLife)); ok {
			t.Errorf("%q: read after its time", account)
		}
	}
}

// Whatever is read in one go, the library reads as the same.
func FuzzPlainToken(f *testing.F) {
	for _, claims := range []string{
		`{"iss":"tim","sub":"alice","exp":9999999999,"iat":1,"jti":"s"}`, `{"iss":"tim","sub":"a","exp":99999999999,"iat":0,"jti":"s"}`,
		`{"iss":"tim","sub":"a","exp":9999999999,"iat":1,"jti":"s","nbf":9999999999}`, `{"iss":"tim","sub":"a","sub":"b","exp":9999999999,"iat":1,"jti":"s"}`,
		`{"iss":"tim","sub":"a","exp":09999999999,"iat":1,"jti":"s"}`, `{"iss":"tim","sub":"\u0061","exp":9999999999,"iat":1e1,"jti":"s"}`,
		"{\"iss\":\"tim\",\"sub\":\"\xff\",\"exp\":9999999999,\"iat\":1,\"jti\":\"s\"}",
		"{\"iss\":\"tim\",\"sub\":\"a\",\"exp\":9999999999,\"iat\":1,\"jti\":\"s\n\"}", `{"iss":"tim","sub":"","exp":9999999999,"iat":1,"jti":""}`, `{}`, ``,
	} {
		f.Add([]byte(claims))
	}
	a := New(Options{Key: []byte(testKey)})
	mac := hmac.New(sha256.New, []byte(testKey))
	f.Fuzz(func(t *testing.T, claims []byte) {
		text := plainHeader + base64.RawURLEncoding.EncodeToString(claims)
		mac.Reset()
		mac.Write([]byte(text))
		text += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		got, ok := a.plain.read(text, time.Now())
		if want, err := a.parse(text); ok && (err != nil || got != want) {
			t.Errorf("%q: %+v, and the library: %+v, %v", claims, got, want, err)
		}
	})
}
