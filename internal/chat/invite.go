package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
)

// Registering says who may register.
type Registering string

// The values of Registering.
const (
	RegistrationOpen   Registering = "open"   // anybody
	RegistrationInvite Registering = "invite" // who has an invitation code
	RegistrationClosed Registering = "closed" // nobody
)

// Invite is an invitation code as operators see it. The code itself is shown once, when it is made.
type Invite struct {
	ID      string // the beginning of the code's hash
	Uses    int    // how many accounts it may still make
	Made    time.Time
	Expires time.Time
}

const (
	// inviteID is the number of letters of an Invite's ID. Of 10,000 codes two have the same with a probability of 1 : 5,000.
	inviteID = 10
	// maxInviteUses bounds the uses of one code.
	maxInviteUses = 1_000_000
	// maxInvites is the number of codes in one list.
	maxInvites = 10_000
)

// ErrNoInvite is RevokeInvite's error for an ID that no code has.
var ErrNoInvite = errors.New("there is no such invitation code; `tim invite list` lists them")

// MakeInvite makes an invitation code for a number of accounts. Only operators' commands call it. The database has the code's
// hash alone; the code has 130 random bits, so nobody finds it from the hash.
func (s *Service) MakeInvite(ctx context.Context, uses int, life time.Duration) (code string, made Invite, err error) {
	if uses < 1 || uses > maxInviteUses || life <= 0 {
		return "", Invite{}, fmt.Errorf("an invitation code needs 1 to %d uses and a life of more than 0", maxInviteUses)
	}
	code, now := rand.Text(), time.Now()
	hash := inviteHash(code)
	made = Invite{ID: hash[:inviteID], Uses: uses, Made: now, Expires: now.Add(life)}
	err = s.DB.Write().CreateInvite(ctx, db.CreateInviteParams{
		Code: hash, Uses: int32(uses), MadeAt: now.UnixMilli(), ExpiresAt: made.Expires.UnixMilli(),
	})
	if err != nil {
		return "", Invite{}, fmt.Errorf("make an invitation code: %w", err)
	}
	return code, made, nil
}

// Invites lists the invitation codes, also those that are used up or expired. Only operators' commands call it.
func (s *Service) Invites(ctx context.Context) ([]Invite, error) {
	rows, err := s.DB.Read().Invites(ctx, "", beyondHex, maxInvites)
	if err != nil {
		return nil, fmt.Errorf("list invitation codes: %w", err)
	}
	invites := make([]Invite, len(rows))
	for i, row := range rows {
		invites[i] = Invite{row.Code[:inviteID], int(row.Uses), time.UnixMilli(row.MadeAt), time.UnixMilli(row.ExpiresAt)}
	}
	return invites, nil
}

// beyondHex sorts after every hash in hexadecimal.
const beyondHex = "g"

var inviteIDForm = regexp.MustCompile(`^[0-9a-f]{10,64}$`)

// RevokeInvite deletes the invitation code with an ID. Only operators' commands call it.
func (s *Service) RevokeInvite(ctx context.Context, id string) error {
	if !inviteIDForm.MatchString(id) {
		return ErrNoInvite
	}
	rows, err := s.DB.Read().Invites(ctx, id, id+beyondHex, 2)
	if err != nil {
		return fmt.Errorf("revoke an invitation code: %w", err)
	}
	if len(rows) == 0 {
		return ErrNoInvite
	}
	for _, row := range rows {
		if _, err := s.DB.Write().DeleteInvite(ctx, row.Code); err != nil {
			return fmt.Errorf("revoke an invitation code: %w", err)
		}
	}
	return nil
}

// inviting counts the registrations under way by the hash of their code. There are never more of one code than it has uses, so that
// a code for ten accounts doesn't let a thousand requests hash a password. Its zero value is ready. Safe for concurrent use.
type inviting struct {
	mu       sync.Mutex
	underWay map[string]int
}

// begin counts a registration, and returns false if there are enough. If it returns true, end must be called.
func (i *inviting) begin(hash string, most int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.underWay == nil {
		i.underWay = make(map[string]int)
	}
	if i.underWay[hash] >= most {
		return false
	}
	i.underWay[hash]++
	return true
}

func (i *inviting) end(hash string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.underWay[hash]--; i.underWay[hash] == 0 {
		delete(i.underWay, hash)
	}
}

// invited refuses a code that can't be used now. It returns a function to be called when the registration has ended.
func (s *Service) invited(ctx context.Context, code string) (done func(), err error) {
	if code == "" {
		return nil, fault.New(fault.InvalidInvite)
	}
	hash := inviteHash(code)
	row, err := s.DB.Read().GetInvite(ctx, hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("check an invitation code: %w", err)
	}
	if err != nil || row.ExpiresAt <= time.Now().UnixMilli() || !s.inviting.begin(hash, int(row.Uses)) {
		return nil, fault.New(fault.InvalidInvite)
	}
	return func() { s.inviting.end(hash) }, nil
}

// useInvite counts a use of a code, in the transaction that makes the account.
func useInvite(ctx context.Context, tx *store.Tx, code string) error {
	used, err := tx.UseInvite(ctx, inviteHash(code), time.Now().UnixMilli())
	if err != nil {
		return err
	}
	if used == 0 {
		return fault.New(fault.InvalidInvite)
	}
	return nil
}

// inviteHash returns under what a code is stored, in whatever letters and with whatever spaces and dashes somebody has typed it.
func inviteHash(code string) string {
	sum := sha256.Sum256([]byte(strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))))
	return hex.EncodeToString(sum[:])
}
