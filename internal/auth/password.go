package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/crypto/bcrypt"
)

// MaxPasswordBytes is bcrypt's limit; what lies beyond would not count.
const MaxPasswordBytes = 72

// Passwords hashes and compares passwords with bcrypt, as many at once as there are processors: more would only make
// everybody wait. Safe for concurrent use.
type Passwords struct {
	cost  int
	decoy []byte
	slots chan struct{}
}

// NewPasswords returns Passwords that hash at cost (4 to 31). Hashes of any cost can be compared.
func NewPasswords(cost int) (*Passwords, error) {
	if cost < bcrypt.MinCost {
		return nil, fmt.Errorf("bcrypt cost %d: must be at least %d", cost, bcrypt.MinCost)
	}
	decoy, err := bcrypt.GenerateFromPassword([]byte("nobody's password"), cost)
	if err != nil {
		return nil, fmt.Errorf("bcrypt cost %d: %w", cost, err)
	}
	return &Passwords{cost: cost, decoy: decoy, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

// Hash returns the bcrypt hash of a password of at most MaxPasswordBytes; a longer one is an error. It waits for a
// processor until ctx ends.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.cost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// match reports whether hash is password's. What is no hash (unknown account, no password set) matches nothing and
// takes as long as one that is, so that time tells nobody which accounts there are. For whoever is between enter and
// leave.
func (p *Passwords) match(hash, password string) bool {
	offered := []byte(password[:min(len(password), MaxPasswordBytes)])
	err := bcrypt.CompareHashAndPassword([]byte(hash), offered)
	if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		_ = bcrypt.CompareHashAndPassword(p.decoy, offered) // for its time alone
	}
	return err == nil && len(password) <= MaxPasswordBytes
}

// enter waits for a processor until ctx ends; leave gives it back.
func (p *Passwords) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a processor: %w", ctx.Err())
	}
}

func (p *Passwords) leave() { <-p.slots }
