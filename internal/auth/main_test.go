package auth

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tim/gen/db"
	"tim/internal/fault"
	"tim/internal/store"
	"tim/internal/testserver"
)

// printKeyEnv makes a process of this test print the key of the folder in which it runs, see TestTwoProcessesMakeOneKey.
const printKeyEnv = "TIM_TEST_PRINT_KEY"

func TestMain(m *testing.M) {
	if os.Getenv(printKeyEnv) != "" {
		key, err := Key("", "key")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(base64.StdEncoding.EncodeToString(key))
		os.Exit(0)
	}
	os.Exit(testserver.Main(m))
}

const (
	testKey  = "for tests alone: Jx4 Bn8 Ty2 Wd5 Qz7"
	password = "123456"
)

// node is an Auth with its database, and the announcements that it has made.
type node struct {
	*Auth

	raw *sql.DB // the same database, for statements that the server doesn't have

	mu   sync.Mutex
	told []string // ids of ended sessions
	fail error    // the error of each announcement
}

// onBoth runs a test on the embedded engine and, where there are servers, on MariaDB.
func onBoth(t *testing.T, test func(t *testing.T, n *node)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, onSQLite(t))
	})
	if testserver.Available() {
		t.Run("mariadb", func(t *testing.T) {
			t.Parallel()
			dsn := testserver.Database(t)
			d, err := store.OpenMySQL(t.Context(), dsn, 8)
			test(t, newNode(t, d, err, "mysql", dsn))
		})
	}
}

func onSQLite(t testing.TB) *node {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tim.db")
	d, err := store.OpenSQLite(t.Context(), path)
	return newNode(t, d, err, "sqlite", path+"?_pragma=busy_timeout(5000)")
}

func newNode(t testing.TB, d *store.DB, err error, driver, source string) *node {
	t.Helper()
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	_, err = d.Migrate(t.Context())
	must(t, err)
	n := &node{}
	n.raw, err = sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { must(t, n.raw.Close()) })
	passwords, err := NewPasswords(4)
	must(t, err)
	n.Auth = New(Options{DB: d, Passwords: passwords, Key: []byte(testKey), Ended: n.ended, Log: slog.New(slog.DiscardHandler)})
	return n
}

// beside returns another node on the same database.
func (n *node) beside() *Auth {
	options := n.Options
	options.Ended = func(context.Context, string, string, fault.Reason) error { return nil }
	return New(options)
}

func (n *node) ended(_ context.Context, _, session string, _ fault.Reason) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, session)
	return n.fail
}

func (n *node) toldOf() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(slices.Values(n.told))
}

func (n *node) register(t testing.TB, account string) {
	t.Helper()
	hash, err := n.Passwords.Hash(t.Context(), password)
	must(t, err)
	_, err = n.DB.Write().CreateUser(t.Context(), db.CreateUserParams{
		Account: account, Username: account, Password: sql.NullString{String: hash, Valid: true},
	})
	must(t, err)
}

// login begins a session and returns its token with its contents.
func (n *node) login(t testing.TB, account string) (string, Session) {
	t.Helper()
	token, expires, err := n.Login(t.Context(), account, password, "192.0.2.1", "a test")
	must(t, err)
	s, err := n.Authenticate(t.Context(), token)
	must(t, err)
	if !s.Expires.Equal(expires) {
		t.Errorf("login says %s, the token %s", expires, s.Expires)
	}
	return token, s
}

// session begins a session without a password and without checking it.
func (n *node) session(t testing.TB, account string) Session {
	t.Helper()
	token, _, err := n.begin(t.Context(), account, "a test")
	must(t, err)
	var claims claims
	_, _, err = n.parser.ParseUnverified(token, &claims)
	must(t, err)
	return Session{Account: claims.Subject, ID: claims.ID, Expires: time.Unix(claims.ExpiresAt, 0)}
}

func (n *node) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := n.raw.ExecContext(t.Context(), statement, args...)
	must(t, err)
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

func ms(t time.Time) int64 { return t.UnixMilli() }

var errBus = errors.New("the bus is away")

// await waits until something holds, and fails the test if it doesn't within a minute.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(time.Minute); !holds(); <-ticker.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
