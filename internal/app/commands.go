package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/cluster"
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
// were mapped, dropped or erased. With report it changes nothing, and writes what would be.
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
	applied, found, err := db.MigrateAndReport(ctx)
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

// SetOwner makes a member the owner of a group and writes it into the group's history. Running nodes aren't told: they show the
// notice with the group's next message or sync.
func SetOwner(ctx context.Context, s Settings, group int32, account string) error {
	return withStore(ctx, s, func(db *store.DB) error {
		service := chat.New(chat.Options{DB: db, Notify: func(context.Context, chat.Event) {}})
		defer service.Close()
		return service.SetOwner(ctx, group, account)
	})
}

func withStore(ctx context.Context, s Settings, do func(*store.DB) error) (err error) {
	db, err := openDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	return do(db)
}
