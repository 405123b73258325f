package chat

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"tim/internal/fault"
	"tim/internal/store"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m, "TestUnavailableDatabaseFailsTheBatch", "TestRetryAfterADeadlockStoresOnce")
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// house is a Service with its database, the accounts online, and the events that it announced.
type house struct {
	*Service

	raw *sql.DB // the same database, for statements that the server doesn't have

	mu     sync.Mutex
	online map[string]bool
	events []Event
	// notified, if set before the first use, is called with every event, one call at a time.
	notified func(Event)
}

// onBoth runs a test on the embedded engine and, where there are servers, on MariaDB.
func onBoth(t *testing.T, test func(t *testing.T, h *house)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite(t))
	})
	if testserver.Available() {
		t.Run("mariadb", func(t *testing.T) {
			t.Parallel()
			test(t, onMySQL(t, testserver.Database(t)))
		})
	}
}

func onSQLite(t *testing.T) *house {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tim.db")
	d, err := store.OpenSQLite(t.Context(), path)
	return newHouse(t, d, err, "sqlite", path+"?_pragma=busy_timeout(5000)&_txlock=immediate")
}

func onMySQL(t *testing.T, dsn string) *house {
	t.Helper()
	d, err := store.OpenMySQL(t.Context(), dsn, 12)
	return newHouse(t, d, err, "mysql", dsn)
}

func newHouse(t *testing.T, d *store.DB, err error, driver, source string) *house {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	_, err = d.Migrate(t.Context())
	must(t, err)
	h := &house{online: make(map[string]bool)}
	h.raw, err = sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { must(t, h.raw.Close()) })
	lanes := 1
	if driver == "mysql" {
		lanes = 4
	}
	h.Service = New(Options{
		DB: d, Admit: admit, HashPassword: hash, Notify: h.notify, Online: h.onlineOf, Lanes: lanes, VisibleLimit: 200,
	})
	t.Cleanup(func() { h.Close() })
	return h
}

// reopened returns another Service with other options on the same database.
func (h *house) reopened(t *testing.T, change func(*Options)) *house {
	t.Helper()
	options := h.Options
	other := &house{raw: h.raw, online: h.online}
	options.Notify, options.Online = other.notify, other.onlineOf
	change(&options)
	other.Service = New(options)
	t.Cleanup(func() { other.Close() })
	return other
}

func admit(context.Context, string, bool) error { return nil }

func hash(_ context.Context, password, _ string, _ bool) (string, error) {
	return "hash of " + password, nil
}

func (h *house) notify(_ context.Context, e Event) {
	h.mu.Lock()
	h.events = append(h.events, e)
	notified := h.notified
	h.mu.Unlock()
	if notified != nil {
		notified(e)
	}
}

// told returns the events announced since its last call. It waits for those of answered messages: senders get their answers
// shortly before the event is announced.
func (h *house) told() []Event {
	for deadline := time.Now().Add(10 * time.Second); h.drafts.busy() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	events := h.events
	h.events = nil
	return events
}

// busy reports whether a lane has a transaction under way.
func (b *batches[T, R]) busy() bool {
	for i := range b.lanes {
		b.lanes[i].mu.Lock()
		busy := b.lanes[i].busy
		b.lanes[i].mu.Unlock()
		if busy {
			return true
		}
	}
	return false
}

func (h *house) onlineOf(_ context.Context, accounts []string) []bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	online := make([]bool, len(accounts))
	for i, a := range accounts {
		online[i] = h.online[a]
	}
	return online
}

func (h *house) comeOnline(accounts ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range accounts {
		h.online[a] = true
	}
}

// register creates accounts. Their display names are the accounts in capitals.
func (h *house) register(t *testing.T, accounts ...string) {
	t.Helper()
	for _, a := range accounts {
		_, err := h.Register(t.Context(), Registration{Account: a, Password: "123456", Username: strings.ToUpper(a)})
		must(t, err)
	}
}

// befriend makes the first a friend of all others.
func (h *house) befriend(t *testing.T, account string, friends ...string) {
	t.Helper()
	for _, f := range friends {
		must(t, h.AddFriend(t.Context(), account, account, f))
	}
}

// group creates a group of accounts. The first is its owner.
func (h *house) group(t *testing.T, name string, accounts ...string) int32 {
	t.Helper()
	id, err := h.CreateGroup(t.Context(), accounts[0], accounts[0], name)
	must(t, err)
	for _, a := range accounts[1:] {
		must(t, h.JoinGroup(t.Context(), a, a, id))
	}
	return id
}

func (h *house) send(t *testing.T, from string, to Target, text string) Message {
	t.Helper()
	m, err := h.Send(t.Context(), from, to, TextContent(text), "")
	must(t, err)
	return m
}

// texts returns a conversation's texts after a seq, without the notices. It fails the test if the seqs have gaps.
func (h *house) texts(t *testing.T, conversation string, after int64) []string {
	t.Helper()
	messages, err := h.Missed(t.Context(), conversation, after, 10_000)
	must(t, err)
	texts := make([]string, 0, len(messages))
	for i, m := range messages {
		if text, shown := m.Text(); shown {
			texts = append(texts, text)
		}
		if m.Seq != after+int64(i)+1 {
			t.Errorf("message %d of %s has the number %d", after+int64(i)+1, conversation, m.Seq)
		}
	}
	return texts
}

// last returns the seq of a conversation's newest message.
func (h *house) last(t *testing.T, conversation string) int64 {
	t.Helper()
	last, err := h.LastSeq(t.Context(), conversation)
	must(t, err)
	return last
}

// textOf returns a message's text, "" for a notice.
func textOf(m Message) string {
	text, _ := m.Text()
	return text
}

// stored returns the stored form of a text.
func stored(text string) string { return TextContent(text).encode() }

func (h *house) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := h.raw.ExecContext(t.Context(), statement, args...)
	must(t, err)
}

// column returns the values of a query's one column as texts.
func (h *house) column(t *testing.T, query string, args ...any) []string {
	t.Helper()
	rows, err := h.raw.QueryContext(t.Context(), query, args...)
	must(t, err)
	defer rows.Close()
	var values []string
	for rows.Next() {
		var value sql.NullString
		must(t, rows.Scan(&value))
		values = append(values, value.String)
	}
	must(t, rows.Err())
	return values
}

func (h *house) owner(t *testing.T, group int32) string {
	t.Helper()
	return h.column(t, "SELECT creator FROM `group` WHERE GroupID = ?", group)[0]
}

func (h *house) members(t *testing.T, group int32) []string {
	t.Helper()
	return h.column(t, "SELECT account FROM userofgroup WHERE GroupID = ? ORDER BY account", group)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless err is the refusal for a reason.
func refused(t testing.TB, err error, reason fault.Reason) {
	t.Helper()
	if !fault.Is(err, reason) {
		t.Errorf("got %v, want %s", err, reason)
	}
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func accountsOf(users []User) []string {
	accounts := make([]string, len(users))
	for i, u := range users {
		accounts[i] = u.Account
	}
	return accounts
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
