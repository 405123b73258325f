package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/secure/precis"

	"tim/internal/fault"
	"tim/internal/store"
)

// MaxPasswordBytes is bcrypt's limit. bcrypt ignores the bytes beyond it.
const MaxPasswordBytes = 72

// minPasswordRunes is the least number of characters of a new password.
const minPasswordRunes = 6

// Passwords hashes and compares passwords with bcrypt. It runs as many hashes at once as there are processors; the others wait in
// a line, logins before registrations. Safe for concurrent use.
type Passwords struct {
	cost  int
	decoy string // a hash of cost 4 that belongs to nobody
	line  *line
	// refusals are those of logins and of registrations.
	refusals refusals
	// highest is the highest cost that a comparison has met, or the own one. A comparison that fails takes as long as one with a
	// hash of this cost.
	highest atomic.Int64
}

// maxPadding bounds by how many steps a comparison that fails may be prolonged: an imported hash of an extreme cost must not make
// every wrong password expensive.
const maxPadding = 3

// maxCost is the highest cost of a stored hash that is compared, unless the configured cost is higher: one of 17 takes 6 s.
const maxCost = 17

var errNoHash = errors.New("no hash")

// NewPasswords returns Passwords that hash with a cost of 4 to 31. They can compare hashes of any cost.
func NewPasswords(cost int) (*Passwords, error) {
	if cost < bcrypt.MinCost {
		return nil, fmt.Errorf("bcrypt cost %d: must be at least %d", cost, bcrypt.MinCost)
	}
	decoy, err := bcrypt.GenerateFromPassword([]byte("nobody's password"), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("bcrypt: %w", err)
	}
	start := time.Now() // how long a hash takes, for the line's forecasts
	if _, err := bcrypt.GenerateFromPassword(decoy, cost); err != nil {
		return nil, fmt.Errorf("bcrypt cost %d: %w", cost, err)
	}
	p := &Passwords{cost: cost, decoy: string(decoy), line: newLine(runtime.GOMAXPROCS(0), time.Since(start))}
	p.highest.Store(int64(cost))
	return p, nil
}

// normal returns a password in the one spelling that is hashed, that of RFC 8265's OpaqueString. It returns false for a password
// that the profile refuses: for control characters and others that nobody sees, and for code points that Unicode hasn't assigned.
func normal(password string) (string, bool) {
	if !utf8.ValidString(password) {
		return "", false
	}
	spelling, err := precis.OpaqueString.String(password)
	return spelling, err == nil
}

const (
	passwordForm  = "must have 6 characters to 72 bytes"
	passwordSigns = "must have no control characters, none that show nothing, and none that Unicode doesn't know"
)

// newPassword returns the spelling of a new password that is hashed, or a problem with it.
func newPassword(password string) (spelling, problem string) {
	spelling, ok := normal(password)
	switch {
	case password == "":
		return "", passwordForm
	case !ok:
		return "", passwordSigns
	case utf8.RuneCountInString(spelling) < minPasswordRunes || len(spelling) > MaxPasswordBytes:
		return "", passwordForm
	}
	return spelling, ""
}

// CheckPassword refuses a new password that doesn't have 6 characters to 72 bytes, in the spelling that is hashed, or that RFC 8265
// refuses.
func CheckPassword(password string) error {
	if _, problem := newPassword(password); problem != "" {
		return fault.Invalid(fault.InvalidBody, "password", problem)
	}
	return nil
}

// Hash returns the bcrypt hash of a new password. It refuses one that CheckPassword refuses, and it waits in the line as a login
// does, see line.enter for its errors.
func (p *Passwords) Hash(ctx context.Context, password string) (string, error) {
	return p.hashNew(ctx, password, ofLogin, "")
}

func (p *Passwords) hashNew(ctx context.Context, password string, r rank, flow string) (string, error) {
	spelling, problem := newPassword(password)
	if problem != "" {
		return "", fault.Invalid(fault.InvalidBody, "password", problem)
	}
	leave, err := p.line.enter(ctx, r, flow)
	if err != nil {
		return "", err
	}
	defer leave()
	return p.hash(spelling)
}

// hash hashes a spelling. The caller must have a slot.
func (p *Passwords) hash(spelling string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(spelling), p.cost)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return string(hash), nil
}

// match reports whether hash is the hash of a password, in its normal spelling or as it was sent: passwords of an old database
// were hashed as they were sent. renewed is a new hash to be stored instead, "" for none: when the old one has another cost, or
// is that of another spelling.
//
// A wrong password takes as long for every account, with whatever cost its hash was made, and for an account without a hash. It
// takes as long as the highest cost that was met. The caller must have a slot.
func (p *Passwords) match(hash, password string) (matches bool, renewed string) {
	spelling, ok := normal(password)
	tried := []string{password}
	if ok && spelling != password {
		tried = []string{spelling, password}
	}
	for _, offered := range tried {
		if !p.compare(hash, offered) {
			continue
		}
		cost, _ := bcrypt.Cost([]byte(hash))
		if cost == p.cost && (!ok || offered == spelling) {
			return true, ""
		}
		if !ok || len(spelling) > MaxPasswordBytes {
			spelling = offered
		}
		renewed, _ = p.hash(spelling) // without one the old one stays
		return true, renewed
	}
	return false, ""
}

// compare compares one spelling with a hash. If they differ, or if there is no hash, it goes on until the work is that of the
// highest cost.
func (p *Passwords) compare(hash, offered string) bool {
	cut := []byte(offered[:min(len(offered), MaxPasswordBytes)])
	cost, err := bcrypt.Cost([]byte(hash))
	if err == nil && cost <= max(p.cost, maxCost) {
		p.meet(cost)
		err = bcrypt.CompareHashAndPassword([]byte(hash), cut)
	} else {
		cost, err = bcrypt.MinCost, errNoHash
	}
	if err == nil && len(offered) <= MaxPasswordBytes {
		return true
	}
	if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) { // then nothing was compared
		p.pretend(cost, cut)
	}
	for _, more := range padding(cost, int(p.highest.Load())) {
		p.pretend(more, cut)
	}
	return false
}

// padding returns the costs of the comparisons that make the work of one comparison that of a higher cost: each step of the cost
// doubles the work.
func padding(cost, highest int) (costs []int) {
	for ; cost < highest; cost++ {
		costs = append(costs, cost)
	}
	return costs
}

// pretend does the work of a comparison with a hash of a cost.
func (p *Passwords) pretend(cost int, offered []byte) {
	_ = bcrypt.CompareHashAndPassword([]byte(fmt.Sprintf("$2a$%02d%s", cost, p.decoy[len("$2a$04"):])), offered)
}

// meet notes the cost of a stored hash.
func (p *Passwords) meet(cost int) {
	cost = min(cost, p.cost+maxPadding)
	for {
		highest := p.highest.Load()
		if int64(cost) <= highest || p.highest.CompareAndSwap(highest, int64(cost)) {
			return
		}
	}
}

// MeetHashes reads the hashes of the oldest accounts, so that from the first login on a wrong password takes as long for every
// account. These are the hashes whose cost may differ from today's.
func MeetHashes(ctx context.Context, d *store.DB, p *Passwords) error {
	hashes, err := d.Read().OldestPasswords(ctx, sampledHashes)
	if err != nil {
		return fmt.Errorf("costs of passwords: %w", err)
	}
	for _, hash := range hashes {
		if cost, err := bcrypt.Cost([]byte(hash.String)); err == nil {
			p.meet(cost)
		}
	}
	return nil
}

const sampledHashes = 200
