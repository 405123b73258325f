package auth

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/fault"
)

// parse verifies a token's signature and claims and returns its session. It doesn't ask whether the session still lives.
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
