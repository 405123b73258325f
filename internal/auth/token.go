package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"hash"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/fault"
)

// parse reads a token of any spelling.
func (a *Auth) parse(token string) (Session, error) {
	var claims jwt.RegisteredClaims
	_, err := a.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return a.Key, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Session{}, fault.Wrap(fault.ExpiredToken, err)
	case err != nil:
		return Session{}, fault.Wrap(fault.InvalidToken, err)
	case claims.Subject == "" || claims.ID == "":
		return Session{}, fault.New(fault.InvalidToken)
	}
	return Session{Account: claims.Subject, ID: claims.ID, Expires: claims.ExpiresAt.Time}, nil
}

// plainHeader is the header that begin and Renew give their tokens, {"alg":"HS256","typ":"JWT"}, and the dot behind it.
const plainHeader = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."

// plainTokens reads tokens as this server writes them, in one go: what nearly all tokens are. Safe for concurrent use.
type plainTokens struct{ pool sync.Pool }

// plainReader is what reading one takes.
type plainReader struct {
	mac hash.Hash

	text, claims, sum, signature []byte
}

func newPlainTokens(key []byte) *plainTokens {
	return &plainTokens{sync.Pool{New: func() any { return &plainReader{mac: hmac.New(sha256.New, key)} }}}
}

// read returns the session of a token that is signed with the key and good at a time. Of whatever else it says no: the
// library then decides, and has the words for what is wrong. It takes nothing that the library would refuse, or that
// means something else to it.
func (p *plainTokens) read(token string, now time.Time) (Session, bool) {
	dot := strings.LastIndexByte(token, '.')
	if dot < len(plainHeader) || !strings.HasPrefix(token, plainHeader) {
		return Session{}, false
	}
	r, _ := p.pool.Get().(*plainReader)
	defer p.pool.Put(r)
	if !r.signed(token, dot) {
		return Session{}, false
	}
	claims, err := base64.RawURLEncoding.AppendDecode(r.claims[:0], r.text[len(plainHeader):dot])
	r.claims = claims
	if err != nil {
		return Session{}, false
	}
	s, ok := plainClaims(claims)
	return s, ok && now.Before(s.Expires)
}

// signed tells whether the signature behind a dot is the right one, in its only spelling. It leaves the token in r.text.
func (r *plainReader) signed(token string, dot int) bool {
	r.text = append(r.text[:0], token...)
	r.mac.Reset()
	r.mac.Write(r.text[:dot])
	r.sum = r.mac.Sum(r.sum[:0])
	r.signature = base64.RawURLEncoding.AppendEncode(r.signature[:0], r.sum)
	return subtle.ConstantTimeCompare(r.signature, r.text[dot+1:]) == 1
}

// plainClaims reads claims in exactly the spelling that sign's have.
func plainClaims(text []byte) (s Session, ok bool) {
	text, fits := bytes.CutPrefix(text, []byte(`{"iss":"`+issuer+`","sub":"`))
	account, text, isThere := bytes.Cut(text, []byte(`","exp":`))
	fits = fits && isThere
	expires, text, isThere := bytes.Cut(text, []byte(`,"iat":`))
	fits = fits && isThere
	issued, text, isThere := bytes.Cut(text, []byte(`,"jti":"`))
	fits = fits && isThere
	id, isThere := bytes.CutSuffix(text, []byte(`"}`))
	if !fits || !isThere || !plainText(account) || !plainText(id) || !plainSeconds(issued) || !plainSeconds(expires) {
		return Session{}, false
	}
	seconds, err := strconv.ParseInt(string(expires), 10, 64)
	return Session{Account: string(account), ID: string(id), Expires: time.Unix(seconds, 0)}, err == nil
}

// plainText tells whether a text is not empty and stands in JSON as it is.
func plainText(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(text) > 0 && utf8.Valid(text)
}

// plainSeconds tells whether a text is a time that every parser of numbers reads alike.
func plainSeconds(text []byte) bool {
	const most = 11 // digits
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= most && text[0] != '0'
}
