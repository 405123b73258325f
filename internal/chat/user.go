package chat

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"unicode/utf8"

	"tim/gen/db"
	accounts "tim/internal/account"
	"tim/internal/fault"
	"tim/internal/store"
)

// User is a user as others see it.
type User struct {
	ID       int64
	Account  string
	Username string
	Sex      *string // rows of an old database may have any text
	Age      int32
	Online   bool
}

// Registration is a new account. An empty Sex is none. The caller has checked the fields against the schema.
type Registration struct {
	Account  string
	Password string
	Username string
	Age      *int32
	Sex      *string
	Invite   string // an invitation code, "" for none
	Address  string // the client's
}

// Register creates an account. Options.Registration says who may call it. It returns AccountTaken if the account exists,
// AccountTooSimilar if it could be taken for one that exists, AccountReserved, RegistrationClosed or InvalidInvite if the caller may not register, and what HashPassword refuses.
func (s *Service) Register(ctx context.Context, r Registration) (User, error) {
	if s.Registration == RegistrationClosed {
		return User{}, fault.New(fault.RegistrationClosed)
	}
	name := accounts.Normal(r.Account)
	if !accounts.ValidNew(name) {
		return User{}, fault.Invalid(fault.InvalidBody, "account", "must be "+accounts.NewForm)
	}
	if s.Reserved.Has(name) {
		return User{}, fault.New(fault.AccountReserved)
	}
	username, err := displayName(r.Username)
	if err != nil {
		return User{}, err
	}
	counted := s.Registration != RegistrationInvite
	if !counted {
		done, err := s.invited(ctx, r.Invite)
		if err != nil {
			return User{}, err
		}
		defer done()
	}
	if err := s.mayRegister(ctx, name, r.Address, counted); err != nil {
		return User{}, err
	}
	hash, err := s.HashPassword(ctx, r.Password, r.Address, counted)
	if err != nil {
		return User{}, fmt.Errorf("register: %w", err)
	}
	look := accounts.LookOf(name)
	row := db.CreateUserParams{
		Account: name, Password: nullable(hash), Username: username, Look: nullable(look.Folded), LookCased: nullable(look.Cased),
	}
	if r.Age != nil {
		row.Age = sql.NullInt32{Int32: *r.Age, Valid: true}
	}
	if r.Sex != nil {
		row.Sex = nullable(accounts.Label(*r.Sex, maxSex))
	}
	id, err := s.createUser(ctx, row, r.Invite)
	if err != nil {
		return User{}, err
	}
	return User{ID: id, Account: name, Username: username, Sex: sex(row.Sex), Age: row.Age.Int32}, nil
}

// maxSex is the most characters of a sex, which is any text.
const maxSex = 100

// mayRegister refuses what needs no hash to be refused, since a hash costs as much as some hundred statements. What it finds may
// have changed when the account is created, where it is checked again.
func (s *Service) mayRegister(ctx context.Context, account, address string, counted bool) error {
	if err := s.Admit(ctx, address, counted); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	switch _, err := s.account(ctx, s.DB.Read(), account); {
	case err == nil:
		return fault.New(fault.AccountTaken)
	case !fault.Is(err, fault.UnknownAccount):
		return err
	}
	return s.mustLookNew(ctx, account)
}

// createUser creates the account, and counts the use of the invitation code where one is needed.
func (s *Service) createUser(ctx context.Context, row db.CreateUserParams, invite string) (id int64, err error) {
	err = s.DB.Tx(ctx, func(tx *store.Tx) (err error) {
		if s.Registration == RegistrationInvite {
			if err := useInvite(ctx, tx, invite); err != nil {
				return err
			}
		}
		if id, err = tx.CreateUser(ctx, row); err != nil {
			return err
		}
		return disinherit(ctx, tx, row.Account)
	})
	if store.IsDuplicate(err) {
		return 0, s.whyTaken(ctx, row.Account)
	}
	if err != nil {
		return 0, fmt.Errorf("register: %w", err)
	}
	return id, nil
}

// displayName returns a display name as it is stored, or refuses it.
func displayName(text string) (string, error) {
	name, problem := accounts.NewName(text, accounts.MaxName)
	if problem != "" {
		return "", fault.Invalid(fault.InvalidBody, "username", problem)
	}
	return name, nil
}

// Changes are changes of a profile; nil leaves a field as it is.
type Changes struct {
	Username *string
	Age      *int32
	Sex      *string
}

// UpdateProfile changes the caller's profile and returns the new one.
func (s *Service) UpdateProfile(ctx context.Context, caller string, c Changes) (User, error) {
	if c.Username != nil {
		name, err := displayName(*c.Username)
		if err != nil {
			return User{}, err
		}
		c.Username = &name
	}
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		// The lock keeps two devices that change different fields at the same time from undoing each other's change.
		if err := tx.LockUser(ctx, caller); err != nil {
			return err
		}
		row, err := s.account(ctx, tx.Queries, caller)
		if err != nil {
			return err
		}
		update := db.UpdateProfileParams{Username: row.Username, Age: row.Age, Sex: row.Sex, Account: caller}
		if c.Username != nil {
			update.Username = *c.Username
		}
		if c.Age != nil {
			update.Age = sql.NullInt32{Int32: *c.Age, Valid: true}
		}
		if c.Sex != nil {
			update.Sex = nullable(accounts.Label(*c.Sex, maxSex))
		}
		_, err = tx.UpdateProfile(ctx, update)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("update profile: %w", err)
	}
	return s.Profile(ctx, caller, caller)
}

// FindUsers returns users whose account or display name begins with a keyword, at most limit, those found by account first.
// Every account may call it. Only those whom the caller may see are shown online.
func (s *Service) FindUsers(ctx context.Context, caller, keyword string, limit int) ([]User, error) {
	keyword = accounts.Normal(keyword)
	beyond := keyword + string(utf8.MaxRune)
	accounts, err := s.DB.Read().UsersByAccountPrefix(ctx, keyword, beyond, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("find users by account: %w", err)
	}
	names, err := s.DB.Read().UsersByUsernamePrefix(ctx, keyword, beyond, rowLimit(limit))
	if err != nil {
		return nil, fmt.Errorf("find users by display name: %w", err)
	}
	var users []User
	found := make(map[string]bool)
	for _, row := range accounts {
		if strings.HasPrefix(row.Account, keyword) { // MySQL's columns ignore spaces at the end
			found[row.Account] = true
			users = append(users, User{ID: int64(row.ID), Account: row.Account, Username: row.Username, Sex: sex(row.Sex), Age: row.Age.Int32})
		}
	}
	for _, row := range names {
		if strings.HasPrefix(row.Username, keyword) && !found[row.Account] && len(users) < limit {
			users = append(users, User{ID: int64(row.ID), Account: row.Account, Username: row.Username, Sex: sex(row.Sex), Age: row.Age.Int32})
		}
	}
	if err := s.showVisible(ctx, caller, users); err != nil {
		return nil, fmt.Errorf("find users: %w", err)
	}
	return users, nil
}

// Profile returns a user. Every account may call it. The user is shown online only if the caller may see it.
func (s *Service) Profile(ctx context.Context, caller, account string) (User, error) {
	row, err := s.account(ctx, s.DB.Read(), account)
	if err != nil {
		return User{}, err
	}
	users := []User{{ID: int64(row.ID), Account: row.Account, Username: row.Username, Sex: sex(row.Sex), Age: row.Age.Int32}}
	if err := s.showVisible(ctx, caller, users); err != nil {
		return User{}, fmt.Errorf("profile: %w", err)
	}
	return users[0], nil
}

// account looks a row up by its account, and returns UnknownAccount if there is none. MySQL's columns ignore spaces at the end
// where accounts don't, hence the comparison.
func (s *Service) account(ctx context.Context, q *db.Queries, account string) (db.GetUserRow, error) {
	account = accounts.Normal(account)
	row, err := q.GetUser(ctx, account)
	if err == nil && row.Account != account {
		err = sql.ErrNoRows
	}
	return row, notFound(err, fault.UnknownAccount)
}

// AvatarOwner is the account whose avatar a name means.
type AvatarOwner struct {
	Account string
	// Username is the account's display name if no other account could be meant by it, otherwise "". The original server stored
	// avatars under display names.
	Username string
}

// AvatarOwner finds the account that is meant by the name in an avatar link: an account, or a display name that exactly one
// user has. A display name is looked up as it is given and, if nobody has it, in its normal spelling. Every account may call
// it.
func (s *Service) AvatarOwner(ctx context.Context, name string) (AvatarOwner, error) {
	q := s.DB.Read()
	user, err := s.account(ctx, q, name)
	if err != nil && !fault.Is(err, fault.UnknownAccount) {
		return AvatarOwner{}, err
	}
	isAccount := err == nil
	username := name
	if isAccount {
		username = user.Username
	}
	named, err := q.AccountsByUsername(ctx, username)
	if stored := accounts.NormalName(username); err == nil && len(named) == 0 && stored != username {
		username = stored
		named, err = q.AccountsByUsername(ctx, username)
	}
	if err != nil {
		return AvatarOwner{}, fmt.Errorf("look up display name: %w", err)
	}
	switch {
	case !isAccount && len(named) == 1:
		return AvatarOwner{Account: named[0], Username: username}, nil
	case !isAccount:
		return AvatarOwner{}, fault.New(fault.UnknownAccount)
	case len(named) == 1 && user.Account != username:
		if _, err := s.account(ctx, q, username); !fault.Is(err, fault.UnknownAccount) {
			return AvatarOwner{Account: user.Account}, err
		}
	}
	if len(named) != 1 {
		username = ""
	}
	return AvatarOwner{Account: user.Account, Username: username}, nil
}

// OwnName refuses a name that is neither the caller's account nor its display name.
func (s *Service) OwnName(ctx context.Context, caller, name string) error {
	if accounts.Normal(name) == caller {
		return nil
	}
	user, err := s.account(ctx, s.DB.Read(), caller)
	if err != nil {
		return err
	}
	if accounts.NormalName(user.Username) != accounts.NormalName(name) { // rows of an old database have names that aren't normalised
		return fault.New(fault.NotYourAccount)
	}
	return nil
}

// Usernames returns the display names of accounts, in the same order. An account without a user is its own name.
func (s *Service) Usernames(ctx context.Context, accounts []string) ([]string, error) {
	if len(accounts) == 0 {
		return nil, nil
	}
	rows, err := s.DB.Read().GetUsers(ctx, accounts)
	if err != nil {
		return nil, fmt.Errorf("display names: %w", err)
	}
	names := make(map[string]string, len(rows))
	for _, row := range rows {
		names[row.Account] = row.Username
	}
	out := make([]string, len(accounts))
	for i, account := range accounts {
		if out[i] = names[account]; out[i] == "" {
			out[i] = account
		}
	}
	return out, nil
}

func sex(s sql.NullString) *string {
	if !s.Valid {
		return nil
	}
	return &s.String
}
