// Command tim is the chat server: `tim serve`, and what an operator needs beside it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"tim/internal/app"
	"tim/internal/bench"
	"tim/internal/check"
)

type cli struct {
	app.Settings
	Serve struct{} `cmd:"" help:"Run the server."`

	Migrate struct{} `cmd:"" help:"Bring the database up to date; serve does it too. Takes over the original's database in place."`

	Passwd struct {
		Account string `arg:"" help:"Whose password."`
	} `cmd:"" help:"Set an account's password, read from standard input, and end its sessions."`

	Owner struct {
		Group   int32  `arg:"" help:"The group's number."`
		Account string `arg:"" help:"A member."`
	} `cmd:"" help:"Make a member the owner of a group."`

	Check check.Options `cmd:"" help:"Prove the promises about delivery: start nodes, break what can break, compare what clients got with the database."`

	Bench bench.Options `cmd:"" help:"Measure what a server holds, an own one or any: connections, messages, fan-out, storms, REST, files."`

	Version struct{} `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	parsed := kong.Parse(&c, kong.Name("tim"), kong.ShortUsageOnError(),
		kong.Description("An open chat back end. Each flag is a setting of the environment too. Without any, everything is embedded."),
		kong.Vars{"admin_listen": app.DefaultAdminListen})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, parsed.Command(), &c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string, c *cli) error {
	log := app.NewLog(c.Settings, os.Stderr)
	switch command {
	case "serve":
		return app.Serve(ctx, c.Settings, log)
	case "migrate":
		return app.Migrate(ctx, c.Settings, os.Stdout)
	case "passwd <account>":
		fmt.Fprint(os.Stderr, "new password: ")
		password, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if password = strings.TrimRight(password, "\r\n"); password == "" {
			return errors.Join(errors.New("no password was given"), err)
		}
		return app.SetPassword(ctx, c.Settings, c.Passwd.Account, password, log)
	case "owner <group> <account>":
		return app.SetOwner(ctx, c.Settings, c.Owner.Group, c.Owner.Account)
	case "check":
		return prove(ctx, c.Check)
	case "version":
		_, err := fmt.Fprintln(os.Stdout, app.Version())
		return err
	default: // the subcommands are its scenarios
		c.Bench.Scenario = strings.TrimPrefix(command, "bench ")
		return measure(ctx, c.Bench)
	}
}

// prove runs the checker on this very program.
func prove(ctx context.Context, options check.Options) (err error) {
	options.Out = os.Stdout
	if options.Binary, err = os.Executable(); err != nil {
		return err
	}
	report, err := check.Run(ctx, options)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(os.Stdout, report); err != nil {
		return err
	}
	if !report.Passed {
		return errors.New("a promise was broken")
	}
	return nil
}

// measure runs the load tool; its own server is this very program.
func measure(ctx context.Context, options bench.Options) (err error) {
	options.Out = os.Stderr
	if options.Binary == "" {
		if options.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	report, err := bench.Run(ctx, options)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(os.Stdout, report.Text(options.JSON == "-")); err != nil {
		return err
	}
	if !report.Passed {
		return errors.New("a promise was broken")
	}
	return nil
}
