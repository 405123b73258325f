package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/crypto/bcrypt"
)

// MaxPasswordBytes is bcrypt's limit. bcrypt ignores the bytes beyond it.
const MaxPasswordBytes = 72

// Passwords hashes and compares passwords with bcrypt. It runs as many hashes at once as there are processors; the others wait.
// Safe for concurrent use.
type Passwords struct {
	cost  int
	decoy []byte
	slots chan struct{}
}

// NewPasswords returns Passwords that hash with a cost of 4 to 31. They can compare hashes of any cost.
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

// Hash returns the bcrypt hash of a password. A password of more than MaxPasswordBytes is an error. Hash waits for a processor
// until ctx ends.
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

// match reports whether hash is the hash of password. For a text that is no hash (unknown account, no password set) it compares
// the password with a decoy, so that the time doesn't tell which accounts exist. The caller must be between enter and leave.
func (p *Passwords) match(hash, password string) bool {
	offered := []byte(password[:min(len(password), MaxPasswordBytes)])
	err := bcrypt.CompareHashAndPassword([]byte(hash), offered)
	if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		_ = bcrypt.CompareHashAndPassword(p.decoy, offered) // only to take the same time
	}
	return err == nil && len(password) <= MaxPasswordBytes
}

// enter waits for one of the slots for hashing until ctx ends; leave gives it back.
func (p *Passwords) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a processor: %w", ctx.Err())
	}
}

func (p *Passwords) leave() { <-p.slots }
