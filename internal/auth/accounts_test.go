package auth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tim/internal/fault"
)

func idsOf(logins []Login) []string {
	ids := make([]string, len(logins))
	for i, l := range logins {
		ids[i] = l.ID
	}
	return ids
}

func TestSessionsAreListed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		n.login(t, "bob")
		none, err := n.Sessions(t.Context(), "carol")
		if err != nil || len(none) != 0 {
			t.Errorf("of nobody: %v, %v", none, err)
		}
		start := time.Now().Truncate(time.Millisecond)
		var all []Session
		for range 4 {
			_, s := n.login(t, "alice")
			all = append(all, s)
		}
		for i, s := range all {
			n.exec(t, "UPDATE session SET used_at = ? WHERE id = ?", 1000+i, s.ID)
		}
		n.exec(t, "UPDATE session SET expires_at = ? WHERE id = ?", ms(time.Now()), all[1].ID) // expired
		got, err := n.Sessions(t.Context(), "alice")
		must(t, err)
		if diff := cmp.Diff([]string{all[3].ID, all[2].ID, all[0].ID}, idsOf(got)); diff != "" {
			t.Errorf("the one used last first (-want +got):\n%s", diff)
		}
		l := got[0]
		if l.Device != "a test" || l.Created.Before(start) || l.Created.After(time.Now()) || l.Used != time.UnixMilli(1003) {
			t.Errorf("got %+v", l)
		}
	})
}

func TestEndOneSession(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "mallory")
		token, s := n.login(t, "alice")
		here, _ := n.login(t, "alice")
		// End ignores another account's session even when its id is known: no node is told to refuse it.
		must(t, n.End(t.Context(), "mallory", s.ID))
		if _, err := n.Authenticate(t.Context(), token); err != nil || len(n.toldOf()) != 0 {
			t.Errorf("ended by somebody else: %v, told of %v", err, n.toldOf())
		}
		for range 2 { // the second time there is nothing to end
			must(t, n.End(t.Context(), "alice", s.ID))
		}
		must(t, n.End(t.Context(), "alice", "nothing"))
		if diff := cmp.Diff([]string{s.ID}, n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		for _, a := range []*Auth{n.Auth, n.beside()} {
			_, err := a.Authenticate(t.Context(), token)
			refused(t, err, fault.SessionEnded)
		}
		if _, err := n.Authenticate(t.Context(), here); err != nil {
			t.Errorf("the other session: %v", err)
		}
	})
}

func TestEndOtherSessions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		bobs, _ := n.login(t, "bob")
		var tokens, ids []string
		for range 3 {
			token, s := n.login(t, "alice")
			tokens, ids = append(tokens, token), append(ids, s.ID)
		}
		here, s := n.login(t, "alice")
		for range 2 { // the second time there are no others
			must(t, n.EndOthers(t.Context(), s))
		}
		slices.Sort(ids)
		if diff := cmp.Diff(ids, n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		for _, token := range tokens {
			for _, a := range []*Auth{n.Auth, n.beside()} {
				_, err := a.Authenticate(t.Context(), token)
				refused(t, err, fault.SessionEnded)
			}
		}
		for _, token := range []string{here, bobs} {
			if _, err := n.beside().Authenticate(t.Context(), token); err != nil {
				t.Errorf("a session that lives on: %v", err)
			}
		}
	})
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		n.register(t, "bob")
		other, first := n.login(t, "alice")
		here, s := n.login(t, "alice")
		bobs, _ := n.login(t, "bob")
		must(t, n.ChangePassword(t.Context(), s, password, "密码密码密码", "192.0.2.1", "a test"))
		_, err := n.Authenticate(t.Context(), other)
		refused(t, err, fault.SessionEnded)
		for _, token := range []string{here, bobs} {
			if _, err := n.beside().Authenticate(t.Context(), token); err != nil {
				t.Errorf("a session that lives on: %v", err)
			}
		}
		if diff := cmp.Diff([]string{first.ID}, n.toldOf()); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
		_, _, err = n.Login(t.Context(), "alice", password, "192.0.2.1", "")
		refused(t, err, fault.WrongCredentials)
		_, _, err = n.Login(t.Context(), "alice", "密码密码密码", "192.0.2.1", "")
		must(t, err)
		n.login(t, "bob")
	})
}

// A wrong present password counts as a failed login, is refused after too many, and changes nothing.
func TestChangePasswordRefusals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		limits := n.Options
		limits.Failures = failures(3, 0, 100)
		limited := New(limits)
		other, _ := n.login(t, "alice")
		_, s := n.login(t, "alice")
		for _, changed := range []string{"", "short", strings.Repeat("x", 73), strings.Repeat("密", 25)} {
			err := limited.ChangePassword(t.Context(), s, password, changed, "192.0.2.1", "a test")
			refused(t, err, fault.InvalidBody)
			if f := fault.From(err); f.Field != "newPassword" {
				t.Errorf("it names the field %q", f.Field)
			}
		}
		for i := range 3 {
			refused(t, limited.ChangePassword(t.Context(), s, fmt.Sprint("wrong", i), "another", "192.0.2.1", "a test"), fault.WrongCredentials)
		}
		refused(t, limited.ChangePassword(t.Context(), s, password, "another", "192.0.2.1", "a test"), fault.TooManyAttempts)
		_, _, err := limited.Login(t.Context(), "alice", password, "192.0.2.1", "a test")
		refused(t, err, fault.TooManyAttempts)
		if _, err := n.Authenticate(t.Context(), other); err != nil || len(n.toldOf()) != 0 {
			t.Errorf("a refusal ended a session: %v, told of %v", err, n.toldOf())
		}
		n.login(t, "alice") // with the old password
	})
}

func TestWhatTheDatabaseFailsEndsNothing(t *testing.T) {
	t.Parallel()
	n := onSQLite(t)
	n.register(t, "alice")
	_, s := n.login(t, "alice")
	must(t, n.DB.Close())
	_, _, exchanged := n.Exchange(t.Context(), s)
	_, _, renewed := n.beside().Renew(t.Context(), s, "a connection")
	_, listed := n.Sessions(t.Context(), "alice")
	for what, err := range map[string]error{
		"exchange": exchanged, "renew": renewed, "list": listed, "end": n.End(t.Context(), "alice", s.ID), "end others": n.EndOthers(t.Context(), s),
		"change": n.ChangePassword(t.Context(), s, password, "another", "", ""),
	} {
		if fault.From(err).Reason != fault.Internal {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(n.toldOf()) != 0 {
		t.Error("others were told of an end that didn't come")
	}
}
