package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"tim/internal/app"
)

// helpOf returns what a command says with --help.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	type exited struct{}
	var out bytes.Buffer
	parser, err := newParser(&cli{}, kong.Writers(&out, &out), kong.Exit(func(int) { panic(exited{}) }))
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if _, ok := recover().(exited); !ok {
				t.Fatalf("tim %s --help goes on", command)
			}
		}()
		_, _ = parser.Parse(append(strings.Fields(command), "--help"))
	}()
	return out.String()
}

// flagInHelp is the place where a help text describes a flag.
var flagInHelp = regexp.MustCompile(`(?m)^ {2,6}(?:-h, )?--([a-z0-9-]+)`)

func TestHelpListsTheCommandsOwnFlags(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&app.Settings{}, kong.Vars{"admin_listen": ""})
	if err != nil {
		t.Fatal(err)
	}
	var settings []string
	for _, flag := range parser.Model.Flags {
		if flag.Name != "help" {
			settings = append(settings, flag.Name)
		}
	}
	database := []string{"data-dir", "mysql-dsn", "limit-sql-connections"}
	bench := []string{"on", "nodes", "binary", "env", "url", "pid", "prefix", "concurrency", "json", "plot"}
	window := []string{"warmup", "duration"}
	load := append([]string{"rate", "sweep", "in-flight", "bytes"}, window...)
	for command, want := range map[string][]string{
		"":                nil,
		"version":         nil,
		"serve":           settings,
		"migrate":         append([]string{"report"}, database...),
		"owner":           database,
		"adduser":         append([]string{"username", "bcrypt-cost"}, database...),
		"invite":          nil,
		"invite make":     append([]string{"uses", "life", "registration", "timezone"}, database...),
		"invite list":     database,
		"invite revoke":   database,
		"passwd":          append([]string{"redis-url", "bcrypt-cost", "log-format", "log-level"}, database...),
		"check":           {"on", "nodes", "duration", "accounts", "rate", "seed", "peace", "growth", "logs"},
		"bench":           bench,
		"bench connect":   slices.Concat(bench, []string{"connections", "sync"}),
		"bench idle":      slices.Concat(bench, []string{"connections"}, window),
		"bench direct":    slices.Concat(bench, []string{"pairs"}, load),
		"bench group":     slices.Concat(bench, []string{"size", "senders"}, load),
		"bench mixed":     slices.Concat(bench, []string{"connections", "writers", "size", "rate", "groups", "churn", "joins", "bytes"}, window),
		"bench reconnect": slices.Concat(bench, []string{"connections"}),
		"bench rest":      slices.Concat(bench, []string{"workers", "operation", "page", "messages", "bytes"}, window),
		"bench upload":    slices.Concat(bench, []string{"workers", "bytes"}, window),
	} {
		var got []string
		for _, found := range flagInHelp.FindAllStringSubmatch(helpOf(t, command), -1) {
			if found[1] != "help" {
				got = append(got, found[1])
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
			t.Errorf("tim %s --help (-want +got):\n%s", command, diff)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	help := helpOf(t, "")
	for _, command := range []string{"serve", "migrate", "passwd <account>", "adduser <account>", "invite make", "invite list", "invite revoke <id>", "owner <group> <account>", "check", "bench direct", "version"} {
		if !strings.Contains(help, "\n  "+command) {
			t.Errorf("tim --help doesn't list %s:\n%s", command, help)
		}
	}
}

// What a command's help doesn't show it still accepts: the commands take the server's settings as the server does.
func TestCommandsTakeEverySetting(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"migrate", "passwd a", "owner 1 a", "adduser a", "invite", "invite list", "invite revoke a"} {
		var c cli
		parser, err := newParser(&c)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.Parse(append(strings.Fields(command), "--listen=:1", "--data-dir=/x"))
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		if got := parsed.Command(); !strings.HasPrefix(got, strings.Fields(command)[0]) {
			t.Errorf("%s is taken for %s", command, got)
		}
		for _, settings := range []app.Settings{
			c.Migrate.Settings, c.Passwd.Settings, c.Owner.Settings, c.Adduser.Settings, c.Invite.Make.Settings, c.Invite.List.Settings, c.Invite.Revoke.Settings,
		} {
			if settings.Listen == ":1" && settings.DataDir != "/x" {
				t.Errorf("%s: %+v", command, settings)
			}
		}
	}
}
