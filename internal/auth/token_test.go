package auth

import (
	"iter"
	"maps"
	"slices"
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
	if claims["sub"] != "alice" || claims["iss"] != "tim" || claims["jti"] != s.ID || claims["aud"] != "tim" || len(s.ID) < 22 || len(claims) != 6 {
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
	claims := jwt.MapClaims{"jti": s.ID, "sub": "alice", "iss": "tim", "aud": "tim", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
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
	if _, err := n.Authenticate(t.Context(), hs256(as("aud", []string{"tom", "tim"}))); err != nil {
		t.Errorf("among others, it is for this server: %v", err)
	}
	for _, tt := range []struct {
		name, token string
		want        fault.Reason
	}{
		{"no audience at all", hs256(as("aud", []string{})), fault.InvalidToken},
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
		{"another audience", hs256(as("aud", "tom")), fault.InvalidToken},
		{"other audiences", hs256(as("aud", []string{"tom", "TIM"})), fault.InvalidToken},
		{"an audience that is no text", hs256(as("aud", 7)), fault.InvalidToken},
		{"a generation that no version signed", hs256(func(c jwt.MapClaims) { delete(c, "aud"); c["gen"] = 1 }), fault.InvalidToken},
		{"a generation below 0", hs256(as("gen", -1)), fault.InvalidToken},
		{"a generation that is no number", hs256(as("gen", "1")), fault.InvalidToken},
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

// A token has one spelling: what decodes to the same bytes is another text, and no token.
func TestTokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	good, _ := n.login(t, "alice")
	for text := range spellings(good) {
		_, err := n.Authenticate(t.Context(), text)
		if refused(t, err, fault.InvalidToken); !fault.Is(err, fault.InvalidToken) {
			t.Errorf("%q for %q", text, good)
		}
		if _, err := n.AuthenticateToRenew(text); !fault.Is(err, fault.InvalidToken) {
			t.Errorf("renewed by %q: %v", text, err)
		}
	}
	if _, err := n.Authenticate(t.Context(), good); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// spellings are texts that some decoder of base64 takes for the token.
func spellings(token string) iter.Seq[string] {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return func(yield func(string) bool) {
		parts := strings.Split(token, ".")
		ok := true
		say := func(text string) { ok = ok && (text == token || yield(text)) }
		for i, part := range parts {
			with := func(changed string) {
				all := slices.Clone(parts)
				all[i] = changed
				say(strings.Join(all, "."))
			}
			last := strings.IndexByte(digits, part[len(part)-1])
			for bits := range 64 { // the last letter has up to 4 bits that no byte needs
				if unused := []int{0, 0, 15, 3}[len(part)%4]; bits&^unused == last&^unused {
					with(part[:len(part)-1] + digits[bits:bits+1])
				}
			}
			with(part + "=")
			with(part + "==")
			with(strings.NewReplacer("-", "+", "_", "/").Replace(part))
			for _, blank := range []string{"\n", "\r", "\r\n", " ", "\t", "\x00", "\u00a0"} {
				with(part + blank)
				with(blank + part)
				with(part[:len(part)/2] + blank + part[len(part)/2:])
			}
		}
		say(token + ".")
		say("." + token)
		say("token." + token)
	}
}

// No text but a token that was signed is taken for one.
func FuzzTokenSpelling(f *testing.F) {
	a := New(Options{Key: []byte(testKey)})
	good, _, err := a.sign("alice", "AAAAAAAAAAAAAAAAAAAAAA", 7, time.Now().Add(time.Hour), time.Now())
	must(f, err)
	f.Add(good)
	for text := range spellings(good) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := a.AuthenticateToRenew(text)
		if err == nil && text != good {
			t.Errorf("%q is taken for %+v", text, s)
		}
	})
}

// noneHeader is {"alg":"none","typ":"JWT"}.
const noneHeader = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"

func flip(letter byte) string {
	if letter == 'A' {
		return "Q"
	}
	return "A"
}

// The clock of the node that signed a token may be ahead of this node's.
func TestTokenFromALittleInTheFuture(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	text, _, err := n.sign("alice", s.ID, 0, s.Ends, time.Now().Add(30*time.Second))
	must(t, err)
	if _, err := n.Authenticate(t.Context(), text); err != nil {
		t.Error(err)
	}
}

// A session belongs to its account: a token of another account with its id is refused.
func TestSessionOfAnotherAccount(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	text, _, err := n.sign("bob", s.ID, 0, s.Ends, time.Now())
	must(t, err)
	_, err = n.beside().Authenticate(t.Context(), text)
	refused(t, err, fault.SessionEnded)
}

// BenchmarkAuthenticate measures what a request costs whose session this node has checked within the last 5 s.
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
