// Command tim is the chat server, `tim serve`, with the commands that an operator needs, the delivery checker and the load
// tool.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

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
	} `cmd:"" help:"Set an account's password, read from standard input, and end its sessions."`

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
	case "owner":
		return database
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
	for _, command := range parser.Model.Children {
		settings := used(command.Name)
		for _, flag := range command.Flags {
			flag.Hidden = settings != nil && !slices.Contains(settings, flag.Name)
		}
	}
	return parser, nil
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

// setPassword reads the new password from standard input.
func setPassword(ctx context.Context, settings app.Settings, account string) error {
	fmt.Fprint(os.Stderr, "new password: ")
	password, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if password = strings.TrimRight(password, "\r\n"); password == "" {
		return errors.Join(errors.New("no password was given"), err)
	}
	return app.SetPassword(ctx, settings, account, password, app.NewLog(settings, os.Stderr))
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
