package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
	"tim/internal/fault"
	"tim/internal/store"
)

// NewLog returns a log with the settings' format and level.
func NewLog(s Settings, out io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo // the flag's enum allows no other value
	}
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, options))
	}
	return slog.New(slog.NewTextHandler(out, options))
}

// Serve runs a node until ctx ends and then drains it.
func Serve(ctx context.Context, s Settings, log *slog.Logger) error {
	cluster.LogClient(log) // it concerns the whole process, so it isn't in Start
	server, err := Start(ctx, s, log)
	if err != nil {
		return err
	}
	reason := server.Wait(ctx)
	log.Info("stopping", "within", s.DrainTimeout)
	if err := server.Stop(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(reason, err)
	}
	log.Info("stopped")
	return reason
}

// Migrate brings the database up to date, and writes to out the names of the applied migrations, and which rows of an old database
// were mapped, dropped or erased. With report it changes nothing, and writes what
// would be. It refuses to change the schema under a running server.
func Migrate(ctx context.Context, s Settings, report bool, out io.Writer) (err error) {
	db, err := openDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if report {
		found, err := db.Report(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(out, describeTakeover(found), "nothing was changed\n")
		return err
	}
	applied, found, err := migrateAlone(ctx, db)
	if err != nil {
		return err
	}
	for _, name := range applied {
		if _, err := fmt.Fprintln(out, "applied", name); err != nil {
			return err
		}
	}
	_, err = fmt.Fprint(out, describeTakeover(found), "the database is up to date\n")
	return err
}

// describeTakeover has a line for each kind of rows, and one for each row up to store.MostRows.
func describeTakeover(found store.Takeover) string {
	var text strings.Builder
	for _, f := range found.Findings {
		fmt.Fprintf(&text, "%d %s:\n", f.Count, f.What)
		for _, row := range f.Rows {
			fmt.Fprintf(&text, "  %s\n", row)
		}
		if more := f.Count - len(f.Rows); more > 0 {
			fmt.Fprintf(&text, "  and %d more\n", more)
		}
	}
	return text.String()
}

// SetPassword gives an account a new password and ends its sessions. Within seconds running nodes refuse the sessions' tokens
// and close their sockets.
func SetPassword(ctx context.Context, s Settings, account, password string, log *slog.Logger) error {
	return withStore(ctx, s, func(db *store.DB) error {
		passwords, err := auth.NewPasswords(s.BcryptCost)
		if err != nil {
			return err
		}
		tell, done, err := sessionNews(ctx, s, db)
		if err != nil {
			return err
		}
		err = auth.New(auth.Options{DB: db, Passwords: passwords, Ended: tell, Log: log}).SetPassword(ctx, account, password)
		return errors.Join(err, done())
	})
}

// AddUser makes an account, whatever TIM_REGISTRATION says. Its display name is the account unless it is given.
func AddUser(ctx context.Context, s Settings, account, username, password string) error {
	return withStore(ctx, s, func(db *store.DB) error {
		passwords, err := auth.NewPasswords(s.BcryptCost)
		if err != nil {
			return err
		}
		unlimited := auth.Registrations{Passwords: passwords}
		return serviceFor(chat.Options{DB: db, Admit: unlimited.Admit, HashPassword: unlimited.Hash}, func(service *chat.Service) error {
			_, err := service.Register(ctx, chat.Registration{Account: account, Password: password, Username: cmp.Or(username, account)})
			return err
		})
	})
}

// MakeInvite makes an invitation code and writes it to out, the only time that it is shown.
func MakeInvite(ctx context.Context, s Settings, uses int, life time.Duration, out, note io.Writer) error {
	return withChat(ctx, s, func(service *chat.Service) error {
		code, made, err := service.MakeInvite(ctx, uses, life)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, code); err != nil {
			return err
		}
		_, err = fmt.Fprintf(note, "uses: %d, until %s; `tim invite revoke %s` ends it; the code isn't shown again\n",
			made.Uses, made.Expires.In(s.zone()).Format(time.DateTime), made.ID)
		if err == nil && s.Registration == string(chat.RegistrationClosed) {
			_, err = fmt.Fprintln(note, "TIM_REGISTRATION is closed here, and a server with this setting takes no codes")
		}
		return err
	})
}

// ListInvites writes the invitation codes to out, one a line, without the codes themselves.
func ListInvites(ctx context.Context, s Settings, out io.Writer) error {
	return withChat(ctx, s, func(service *chat.Service) error {
		invites, err := service.Invites(ctx)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		_, err = fmt.Fprintln(table, "id\tuses left\tmade\texpires")
		for _, i := range invites {
			if err != nil {
				break
			}
			_, err = fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", i.ID, i.Uses, i.Made.In(s.zone()).Format(time.DateTime), i.Expires.In(s.zone()).Format(time.DateTime))
		}
		return errors.Join(err, table.Flush())
	})
}

// RevokeInvite ends an invitation code.
func RevokeInvite(ctx context.Context, s Settings, id string) error {
	return withChat(ctx, s, func(service *chat.Service) error { return service.RevokeInvite(ctx, id) })
}

// SetOwner makes a member the owner of a group and writes it into the group's history. Running nodes aren't told: they show the
// notice with the group's next message or sync.
func SetOwner(ctx context.Context, s Settings, group int32, account string) error {
	return withChat(ctx, s, func(service *chat.Service) error { return service.SetOwner(ctx, group, account) })
}

// withChat runs a use case as an operator: registration is open, and nobody is notified.
func withChat(ctx context.Context, s Settings, do func(*chat.Service) error) error {
	return withStore(ctx, s, func(db *store.DB) error {
		return serviceFor(chat.Options{DB: db}, do)
	})
}

func serviceFor(o chat.Options, do func(*chat.Service) error) error {
	o.Notify = func(context.Context, chat.Event) {}
	service := chat.New(o)
	defer service.Close()
	return do(service)
}

func withStore(ctx context.Context, s Settings, do func(*store.DB) error) (err error) {
	db, err := openDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, _, err := migrateAlone(ctx, db); err != nil {
		return err
	}
	return plain(do(db))
}

// plain turns a refusal into its English text, for operators.
func plain(err error) error {
	refusal, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return err
	}
	text := refusal.Text("").In(fault.English)
	if refusal.Field != "" {
		text = refusal.Field + " " + refusal.Problem
	}
	return errors.New(text)
}

// errServerRuns is the refusal to migrate under a running server, whose statements may not fit the new schema.
var errServerRuns = errors.New("this version of tim needs to change the database's schema, and a server is running on the database: " +
	"stop the server, run `tim migrate`, and start the server in this version")

// migrateAlone brings the database up to date. A database that is up to date it leaves alone, also beside a running server. Where
// migrations are missing, it refuses if a server runs.
func migrateAlone(ctx context.Context, db *store.DB) (applied []string, found store.Takeover, err error) {
	pending, err := db.Pending(ctx)
	if err != nil || !pending {
		return nil, found, err
	}
	alone, share, _, err := db.RunningNodes(ctx)
	if err != nil {
		return nil, found, err
	}
	if alone || share {
		return nil, found, errServerRuns
	}
	return db.MigrateAndReport(ctx)
}
