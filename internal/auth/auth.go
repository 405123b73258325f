// Package auth owns password hashes, tokens and sessions. The database decides which sessions live. Each node caches for 5
// seconds the sessions that it has checked, and drops one from the cache when it hears of its end over the bus.
//
//	auth.go      construction; login and change of password
//	sessions.go  beginning, checking, listing and ending sessions
//	renew.go     renewing tokens, and noticing one that is used after its renewal
//	token.go     signing and verifying tokens
//	seen.go      the cache of sessions
//	password.go  the spelling of passwords, and bcrypt
//	line.go      the line in which those who hash wait
//	refusals.go  … and floods of those who are refused
//	attempts.go  the limits on failed logins, and registrations
//	places.go    the devices and addresses from which an account has logged in
//	key.go       the signing key, and keys derived from it
//	weakkey.go   keys that are refused, since they can be guessed
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/golang-jwt/jwt/v5"

	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// AccountKey is the key of echo's context under which a handler that authenticates by itself stores the account, for the log.
const AccountKey = "tim.account"

// Options of New. Every field is needed, except that Lives has defaults, and Renewed may be nil.
type Options struct {
	DB        *store.DB
	Passwords *Passwords
	Key       []byte // HS256, at least MinKeyBytes
	// Ended tells every node, this one included, that a session has ended, and why: SessionEnded or TokenReused. It is called
	// after the commit.
	Ended func(ctx context.Context, account, session string, why fault.Reason) error
	// Renewed tells a session's connections that its token was renewed, except the connection that renewed it, "" for none. It
	// is called after the commit.
	Renewed func(account, session, connection string)
	Log     *slog.Logger
	Lives   Lives
	// MaxSessions is how many sessions an account may have. When it begins one more, the one that was used longest ago ends. 0
	// means no limit.
	MaxSessions int
	// Failures are the limits on failed logins. The zero value has none.
	Failures Failures
}

// Auth logs accounts in and out and checks their tokens. All its methods are safe for concurrent use.
type Auth struct {
	Options
	seen     *seen
	parser   *jwt.Parser
	expired  *jwt.Parser // takes tokens that have expired, too
	placeKey []byte      // hides the addresses and devices from which accounts have logged in
}

// New returns an Auth. It starts nothing and needs no closing.
func New(o Options) *Auth {
	o.Lives = o.Lives.withDefaults()
	if o.Renewed == nil {
		o.Renewed = func(string, string, string) {}
	}
	placeKey := hmac.New(sha256.New, o.Key)
	placeKey.Write([]byte("tim known devices"))
	return &Auth{
		Options:  o,
		placeKey: placeKey.Sum(nil),
		seen:     newSeen(),
		parser:   newParser(),
		expired:  newParser(jwt.WithTimeFunc(whenever)),
	}
}

// Login checks a password and begins a session. It returns the session's token and when that expires. Neither the answer nor
// its time tells an unknown account from a wrong password: both are WrongCredentials. address is the client's, device its
// User-Agent. After too many failures Login returns TooManyAttempts, see [Failures], and Busy when it would wait too long for a
// processor.
func (a *Auth) Login(ctx context.Context, account, password, address, device string) (token string, expires time.Time, err error) {
	account = accounts.Normal(account)
	if err := a.checkCredentials(ctx, account, password, address, device); err != nil {
		return "", time.Time{}, err
	}
	return a.begin(ctx, account, device)
}

// checkCredentials refuses a wrong password, and an account or address that has failed too often. It renews the stored hash where
// that is due, and remembers the device of a right password.
func (a *Auth) checkCredentials(ctx context.Context, account, password, address, device string) error {
	return a.Passwords.refusals.pace(ctx, a.checkAtOnce(ctx, account, password, address, device))
}

func (a *Auth) checkAtOnce(ctx context.Context, account, password, address, device string) error {
	place := a.place(account, address, device)
	known, err := a.known(ctx, place)
	if err != nil {
		return err
	}
	door := a.door(place, known)
	if err := door.mayTry(ctx); err != nil {
		return err
	}
	user, err := a.DB.Read().GetUser(ctx, account)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("check credentials: %w", err)
	}
	renewed, err := a.try(ctx, door, known.rank(), place.pair, user.Password.String, password)
	if err != nil {
		return fmt.Errorf("check credentials: %w", err)
	}
	if renewed != "" {
		// Only in the place of the hash that was compared: another request may have changed the password meanwhile.
		_, err := a.DB.Write().RenewPassword(ctx, sql.NullString{String: renewed, Valid: true}, account, user.Password)
		if err != nil {
			a.Log.Warn("a password's hash was not renewed", "account", account, "err", err)
		}
	}
	a.remember(ctx, place, known)
	return nil
}

// try makes one attempt at a password. It checks and counts the failures while it holds one of the slots for hashing, so that
// attempts that wait for a slot see the failures of those before them.
func (a *Auth) try(ctx context.Context, door door, r rank, flow, hash, password string) (renewed string, err error) {
	leave, err := a.Passwords.line.enter(ctx, r, flow)
	if err != nil {
		return "", err
	}
	defer leave()
	if err := door.mayTry(ctx); err != nil {
		return "", err
	}
	matches, renewed := a.Passwords.match(hash, password)
	if !matches {
		door.failed(ctx)
		return "", fault.New(fault.WrongCredentials)
	}
	return renewed, nil
}

// ChangePassword replaces the caller's password and ends its other sessions. The caller must give its present password; a wrong
// one counts as a failed login.
func (a *Auth) ChangePassword(ctx context.Context, s Session, old, changed, address, device string) error {
	if _, problem := newPassword(changed); problem != "" {
		return fault.Invalid(fault.InvalidBody, "newPassword", problem)
	}
	if err := a.checkCredentials(ctx, s.Account, old, address, device); err != nil {
		return err
	}
	hash, err := a.Passwords.hashNew(ctx, changed, ofLogin, s.Account)
	if err != nil {
		return err
	}
	var others []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		if _, err = tx.SetPassword(ctx, sql.NullString{String: hash, Valid: true}, s.Account); err != nil {
			return err
		}
		if err = tx.ForgetPlaces(ctx, s.Account); err != nil {
			return err
		}
		others, err = a.dropOthers(ctx, tx, s)
		return err
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	for _, id := range others {
		a.tell(ctx, s.Account, id, fault.SessionEnded)
	}
	return nil
}

// SetPassword replaces an account's password and ends all its sessions. It asks for no present password, so only operators'
// commands may call it.
func (a *Auth) SetPassword(ctx context.Context, account, password string) error {
	account = accounts.Normal(account)
	if err := CheckPassword(password); err != nil {
		return err
	}
	hash, err := a.Passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	var sessions []string
	err = a.DB.Tx(ctx, func(tx *store.Tx) error {
		user, err := tx.GetUser(ctx, account)
		if errors.Is(err, sql.ErrNoRows) || err == nil && user.Account != account {
			return fault.New(fault.UnknownAccount)
		}
		if err != nil {
			return err
		}
		if _, err := tx.SetPassword(ctx, sql.NullString{String: hash, Valid: true}, account); err != nil {
			return err
		}
		if err := tx.ForgetPlaces(ctx, account); err != nil {
			return err
		}
		if sessions, err = tx.SessionIDs(ctx, account); err != nil {
			return err
		}
		return tx.DeleteSessions(ctx, account)
	})
	if err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	for _, id := range sessions {
		a.tell(ctx, account, id, fault.SessionEnded)
	}
	return nil
}
