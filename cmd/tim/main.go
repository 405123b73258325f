// Command tim is the chat server, `tim serve`, with the commands that an operator needs, the delivery checker and the load
// tool.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"tim/internal/app"
	"tim/internal/bench"
	"tim/internal/check"
)

// cli is the command line. The commands that read the server's settings embed them; the others have flags of their own
// alone.
type cli struct {
	Serve struct{ app.Settings } `cmd:"" help:"Run the server."`

	Migrate struct {
		Report bool `help:"Change nothing; print which rows of an old database would be mapped, dropped or erased."`
		app.Settings
	} `cmd:"" help:"Bring the database up to date, which serve does as well. It takes over the original's database in place."`

	Passwd struct {
		Account string `arg:"" help:"The account that gets a new password."`
		app.Settings
	} `cmd:"" help:"Set an account's password and end its sessions. The password is asked for twice on a terminal, else read from the first line of standard input."`

	Adduser struct {
		Account  string `arg:""                                                 help:"The new account."`
		Username string `help:"Its display name; the account if there is none." placeholder:"NAME"`
		app.Settings
	} `cmd:"" help:"Make an account, whatever TIM_REGISTRATION says. The password is read as passwd does."`

	Invite struct {
		Make struct {
			Uses int           `default:"1"    help:"How many accounts it may make."`
			Life time.Duration `default:"168h" help:"How long it is valid."`
			app.Settings
		} `cmd:"" default:"withargs"                  help:"Make a code and print it; it isn't shown again (the default)."`
		List   struct{ app.Settings } `cmd:"" help:"List the codes by their ids."`
		Revoke struct {
			ID string `arg:"" help:"The code's id, as the list has it."`
			app.Settings
		} `cmd:"" help:"End a code."`
	} `cmd:"" help:"Make, list and revoke invitation codes, for TIM_REGISTRATION=invite."`

	Owner struct {
		Group   int32  `arg:"" help:"The group's number."`
		Account string `arg:"" help:"A member of the group."`
		app.Settings
	} `cmd:"" help:"Make a member the owner of a group."`

	Check check.Options `cmd:"" help:"Test the promises about delivery: start nodes, break them and what they need, and compare what clients received with the database."`

	Bench bench.Options `cmd:"" help:"Measure a server: connections, messages, fan-out, reconnects, REST, files."`

	Version struct{} `cmd:"" help:"Print version, commit and date."`
}

// used lists the settings that a command reads. Its help shows these alone; it accepts all of the server's settings, so
// that a command can be called as the server is.
func used(command string) []string {
	database := []string{"data-dir", "mysql-dsn", "limit-sql-connections"}
	switch command {
	case "migrate":
		return append(database, "report")
	case "owner", "list", "revoke":
		return database
	case "make":
		return append(database, "uses", "life", "registration", "timezone")
	case "adduser":
		return append(database, "username", "bcrypt-cost")
	case "passwd":
		return append(database, "redis-url", "bcrypt-cost", "log-format", "log-level")
	default:
		return nil
	}
}

// newParser returns the parser of the command line, which fills c.
func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	options = append(options, kong.Name("tim"), kong.ShortUsageOnError(), kong.Vars{"admin_listen": app.DefaultAdminListen},
		kong.Description("A chat back end. `tim serve` without settings stores everything in one folder. `tim COMMAND --help` lists the flags of a command; each setting of the server is also read from the environment."))
	parser, err := kong.New(c, options...)
	if err != nil {
		return nil, err
	}
	for _, command := range slices.Concat(parser.Model.Children, inviting(parser.Model.Children)) {
		settings := used(command.Name)
		for _, flag := range command.Flags {
			flag.Hidden = settings != nil && !slices.Contains(settings, flag.Name)
		}
	}
	return parser, nil
}

// inviting returns the commands of invite.
func inviting(commands []*kong.Node) []*kong.Node {
	for _, command := range commands {
		if command.Name == "invite" {
			return command.Children
		}
	}
	return nil
}

func main() {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tim:", err)
		os.Exit(1)
	}
	parsed, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	warnOfMisspelt(parser, parsed.Command(), &c)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, parsed.Command(), &c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tim:", err)
		os.Exit(1)
	}
}

// warnOfMisspelt names variables of the environment that look like settings and are none.
func warnOfMisspelt(parser *kong.Kong, command string, c *cli) {
	command, _, _ = strings.Cut(command, " ")
	if command != "serve" && used(command) == nil { // it reads no settings
		return
	}
	app.WarnOfMisspelt(os.Environ(), settingNames(parser), app.NewLog(c.Serve.Settings, os.Stderr))
}

// settingNames are the variables of the environment that the commands read.
func settingNames(parser *kong.Kong) []string {
	var names []string
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			names = append(names, flag.Envs...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func run(ctx context.Context, command string, c *cli) error {
	switch command {
	case "serve":
		return app.Serve(ctx, c.Serve.Settings, app.NewLog(c.Serve.Settings, os.Stderr))
	case "migrate":
		return app.Migrate(ctx, c.Migrate.Settings, c.Migrate.Report, os.Stdout)
	case "passwd <account>":
		return setPassword(ctx, c.Passwd.Settings, c.Passwd.Account)
	case "adduser <account>":
		return addUser(ctx, c.Adduser.Settings, c.Adduser.Account, c.Adduser.Username)
	case "invite make":
		return app.MakeInvite(ctx, c.Invite.Make.Settings, c.Invite.Make.Uses, c.Invite.Make.Life, os.Stdout, os.Stderr)
	case "invite list":
		return app.ListInvites(ctx, c.Invite.List.Settings, os.Stdout)
	case "invite revoke <id>":
		return app.RevokeInvite(ctx, c.Invite.Revoke.Settings, c.Invite.Revoke.ID)
	case "owner <group> <account>":
		return app.SetOwner(ctx, c.Owner.Settings, c.Owner.Group, c.Owner.Account)
	case "check":
		return runCheck(ctx, c.Check)
	case "version":
		_, err := fmt.Fprintln(os.Stdout, app.Version())
		return err
	default: // the subcommands of bench are its scenarios
		c.Bench.Scenario = strings.TrimPrefix(command, "bench ")
		return runBench(ctx, c.Bench)
	}
}

func setPassword(ctx context.Context, settings app.Settings, account string) error {
	password, err := newPassword(ctx, os.Stdin, os.Stderr)
	if err != nil {
		return err
	}
	return app.SetPassword(ctx, settings, account, password, app.NewLog(settings, os.Stderr))
}

func addUser(ctx context.Context, settings app.Settings, account, username string) error {
	password, err := newPassword(ctx, os.Stdin, os.Stderr)
	if err != nil {
		return err
	}
	return app.AddUser(ctx, settings, account, username, password)
}

// runCheck runs the delivery checker. The nodes that it starts run this program.
func runCheck(ctx context.Context, options check.Options) (err error) {
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
		return errors.New("a promise about delivery was broken")
	}
	return nil
}

// runBench runs the load tool. The nodes that it starts run this program, unless --binary names another.
func runBench(ctx context.Context, options bench.Options) (err error) {
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
		return errors.New("a promise about delivery was broken")
	}
	return nil
}
