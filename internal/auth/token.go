package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/fault"
)

const (
	issuer = "tim"
	// audience is whom tokens are for: this server. A token that another program signs with the same key names another one.
	audience = "tim"
)

// claims are a token's, RFC 7519 section 4.1; times are in s since 1970. A token whose audience is missing was signed by a version
// before this one, which knew no generations. It is valid until it expires. The release after this one refuses such tokens: all
// of them have expired by then.
//
// jwt.RegisteredClaims has the same ones for every issuer; reading those takes a third more time.
type claims struct {
	ID         string    `json:"jti"`
	Subject    string    `json:"sub"`
	Issuer     string    `json:"iss"`
	Audience   recipient `json:"aud,omitempty"`
	IssuedAt   int64     `json:"iat,omitempty"`
	NotBefore  int64     `json:"nbf,omitempty"` // this server signs none
	ExpiresAt  int64     `json:"exp"`
	Generation int64     `json:"gen,omitempty"` // see renew.go
}

// Validate implements jwt.ClaimsValidator: what the library doesn't check.
func (c *claims) Validate() error {
	switch {
	case c.Subject == "" || c.ID == "":
		return fmt.Errorf("%w: no account or no session", jwt.ErrTokenRequiredClaimMissing)
	case c.old() && c.Generation != 0, c.Generation < 0:
		return fmt.Errorf("%w: gen", jwt.ErrTokenInvalidClaims)
	case !c.old() && c.Audience != audience:
		return jwt.ErrTokenInvalidAudience
	}
	return nil
}

// old tells whether a version before generations signed the token.
func (c *claims) old() bool { return c.Audience == "" }

func date(seconds int64) (*jwt.NumericDate, error) {
	if seconds == 0 { // it isn't there
		return nil, nil //nolint:nilnil // as jwt.Claims wants it
	}
	return &jwt.NumericDate{Time: time.Unix(seconds, 0)}, nil
}

// GetExpirationTime implements jwt.Claims.
func (c *claims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.ExpiresAt) }

// GetIssuedAt implements jwt.Claims.
func (c *claims) GetIssuedAt() (*jwt.NumericDate, error) { return date(c.IssuedAt) }

// GetNotBefore implements jwt.Claims.
func (c *claims) GetNotBefore() (*jwt.NumericDate, error) { return date(c.NotBefore) }

// GetIssuer implements jwt.Claims.
func (c *claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject implements jwt.Claims.
func (c *claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience implements jwt.Claims.
func (c *claims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{string(c.Audience)}, nil
}

// recipient is whom a token is for. This server signs one text; RFC 7519 section 4.1.3 has lists of texts, too.
type recipient string

// UnmarshalJSON implements json.Unmarshaler. Of a list it takes this server, or else says that somebody else is meant.
func (r *recipient) UnmarshalJSON(text []byte) error {
	if string(text) == `"`+audience+`"` {
		*r = audience
		return nil
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("aud: %w", err)
	}
	*r = "others"
	if slices.Contains(all, audience) {
		*r = audience
	}
	return nil
}

// newParser returns a parser of tokens. The time of issue isn't compared: the clock of the node that signed may be ahead.
func newParser(options ...jwt.ParserOption) *jwt.Parser {
	return jwt.NewParser(append(options, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(issuer),
		jwt.WithExpirationRequired(), jwt.WithStrictDecoding())...)
}

// whenever is a parser's clock at which no token has expired.
func whenever() time.Time { return time.Unix(0, 0) }

// letters are those of base64url and the dot, RFC 7515 section 7.1. Go's decoder passes over line breaks, even when it is
// strict: a token could be spelt in many ways.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// parse verifies a token's signature and claims and returns its session. It doesn't ask whether the session still lives.
func (a *Auth) parse(token string, by *jwt.Parser) (Session, error) {
	if strings.Trim(token, letters) != "" {
		return Session{}, fault.New(fault.InvalidToken)
	}
	var c claims
	_, err := by.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return a.Key, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Session{}, fault.Wrap(fault.ExpiredToken, err)
	case err != nil:
		return Session{}, fault.Wrap(fault.InvalidToken, err)
	}
	return Session{Account: c.Subject, ID: c.ID, Expires: time.Unix(c.ExpiresAt, 0), Generation: c.Generation, old: c.old()}, nil
}

// sign makes a token of a generation of a session, which ends at the latest at ends. It says when the token expires, which
// tokens have in whole seconds.
func (a *Auth) sign(account, id string, generation int64, ends, now time.Time) (token string, expires time.Time, err error) {
	expires = now.Add(a.Lives.Token)
	if expires.After(ends) {
		expires = ends
	}
	expires = expires.Truncate(time.Second)
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, &claims{
		ID: id, Subject: account, Issuer: issuer, Audience: audience,
		IssuedAt: now.Unix(), ExpiresAt: expires.Unix(), Generation: generation,
	})
	token, err = unsigned.SignedString(a.Key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign token: %w", err)
	}
	return token, expires, nil
}
