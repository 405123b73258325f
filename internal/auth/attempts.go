package auth

import (
	"context"
	"net/netip"
	"time"

	"tim/internal/fault"
)

// Limit is a token bucket for each key, which the nodes of an installation share. Package cluster implements it. Its methods
// don't fail and return soon.
type Limit interface {
	// Wait returns how long the key must wait until it has a token, 0 if it has one.
	Wait(ctx context.Context, key string) time.Duration
	// Spend spends a token, if there is one.
	Spend(ctx context.Context, key string)
	// Take spends a token and returns 0, or spends none and returns how long the key must wait.
	Take(ctx context.Context, key string) time.Duration
	// Return gives a token back.
	Return(ctx context.Context, key string)
}

// Failures are the limits on failed logins; each may be nil for none. All count an IPv6 address by its /64, which is what one
// customer gets.
//
// A failure counts for the account at its address (PerPair), for the account at all addresses (PerAccount), and for the address
// with all accounts (PerAddress). Who guesses passwords of one account from one address is stopped by the first of them, which
// nobody elsewhere notices. The second slows down those who guess from many addresses, the third those who guess for many
// accounts.
//
// The second would shut the account's owner out, so it doesn't hold at an address from which the account has logged in. A device
// that has logged in from there, by its User-Agent, has a count of its own (PerPair, too), which nobody else's failures change.
type Failures struct{ PerPair, PerAccount, PerAddress Limit }

// The time after which one failed login is forgiven: for an account, and for an address.
const (
	AccountRefill = 30 * time.Second
	AddressRefill = time.Second
)

// door is the way by which an attempt is admitted: the buckets that a failure of it is counted in.
type door []bucket

type bucket struct {
	limit Limit
	key   string
}

// wait returns the longest wait of the door's buckets.
func (d door) wait(ctx context.Context) (longest time.Duration) {
	for _, b := range d {
		if b.limit != nil {
			longest = max(longest, b.limit.Wait(ctx, b.key))
		}
	}
	return longest
}

// failed counts a failure.
func (d door) failed(ctx context.Context) {
	for _, b := range d {
		if b.limit != nil {
			b.limit.Spend(ctx, b.key)
		}
	}
}

// door returns the way by which attempts from a place are admitted.
func (a *Auth) door(p place, known acquaintance) door {
	f := a.Failures
	switch {
	case known.device:
		return door{{f.PerPair, p.device}}
	case known.address:
		return door{{f.PerPair, p.pair}, {f.PerAddress, p.address}}
	}
	return door{{f.PerPair, p.pair}, {f.PerAccount, p.account}, {f.PerAddress, p.address}}
}

// mayTry refuses an attempt where there were too many failures.
func (d door) mayTry(ctx context.Context) error {
	if wait := d.wait(ctx); wait > 0 {
		return fault.Retry(fault.TooManyAttempts, wait)
	}
	return nil
}

// network returns the part of a client's address that is counted: an IPv4 address, or the /64 of an IPv6 address.
func network(address string) string {
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	parsed = parsed.Unmap().WithZone("")
	if parsed.Is4() {
		return parsed.String()
	}
	return netip.PrefixFrom(parsed, 64).Masked().String()
}

// Registrations hashes the passwords of new accounts. PerAddress limits them, by the address as [Failures] does; nil is no limit.
type Registrations struct {
	Passwords  *Passwords
	PerAddress Limit
}

// Admit refuses what Hash would refuse for the client's address, as far as that is known now.
func (r Registrations) Admit(ctx context.Context, address string, counted bool) error {
	err := r.Passwords.line.admit(ctx, ofRegistration, network(address))
	if counted && r.PerAddress != nil {
		if wait := r.PerAddress.Wait(ctx, network(address)); wait > 0 {
			err = fault.Retry(fault.TooManyRegistrations, wait)
		}
	}
	return r.Passwords.refusals.pace(ctx, err)
}

// Hash returns the hash of a new account's password. A registration that is to be counted counts when its password is about to be
// hashed, so also if it fails afterwards. Hash returns a fault for a password that CheckPassword refuses, TooManyRegistrations for an
// address that has registered too many accounts, and Busy when the line for processors is too long.
func (r Registrations) Hash(ctx context.Context, password, address string, counted bool) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	counted = counted && r.PerAddress != nil
	if counted {
		if wait := r.PerAddress.Take(ctx, network(address)); wait > 0 {
			return "", r.Passwords.refusals.pace(ctx, fault.Retry(fault.TooManyRegistrations, wait))
		}
	}
	hash, err := r.Passwords.hashNew(ctx, password, ofRegistration, network(address))
	if err != nil && counted { // nothing was hashed
		r.PerAddress.Return(ctx, network(address))
	}
	return hash, r.Passwords.refusals.pace(ctx, err)
}
