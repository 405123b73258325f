package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tim/gen/db"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m,
		"TestKilledServerIsUnavailable", "TestBrokenTransactionIsNotRepeated", "TestJoinNodes", "TestNodesMustFit", "TestLostNodeIsTold",
		"TestRedisThatWasAway", "TestNodesBeforeTheFirstMigration", "TestNodesAtOnce", "TestMigrateTakesOver", "TestMigrateErasesOnlyWhatIsNoHash", "TestMigrateGoesOnAfterACrash",
		"TestMigrateKeepsWhatConversationsThereAre", "TestMigratesAtOnce", "TestGalera.*", "TestOneServerIsKnown", "TestLeaseOfADeadHolder", "TestLeaseTakenOver", "TestMigrateRefusesForeignTables", "TestMigrateWaitsForTheOther",
		"TestTakeover", "TestTakeoverAfterAnEarlierVersion", "TestTakeoverGoesOnAfterACrash", "TestTakeoverNamesErasedPasswords",
		"TestMySQLSettings", "TestMySQLErrorsKeepThePassword", "TestMySQLPoolIsBounded", "TestSchemasAreAlike",
		"TestTransactionsOfFewRoundtrips", "TestNoBatchAfterAConflict", "TestTransactionsOnEndedConnections", "TestLockShowsWhatItsHolderDid", "TestDeadlockIsRetried",
		"TestFailover", "TestNoHostIsFit", "TestOpenTriesAllHosts", "TestReadOnlyServer",
	)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// onBoth runs a test on the embedded engine and, where there are servers, on MariaDB, each with an empty schema.
func onBoth(t *testing.T, test func(t *testing.T, d *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, migrated(t, sqliteAt(t, filepath.Join(t.TempDir(), "tim.db"))))
	})
	if testserver.Available() {
		t.Run("mysql", func(t *testing.T) {
			t.Parallel()
			test(t, migrated(t, mysqlAt(t, testserver.Database(t))))
		})
	}
}

func sqliteAt(t testing.TB, path string) *DB {
	t.Helper()
	d, err := OpenSQLite(t.Context(), path)
	return closing(t, d, err)
}

func mysqlAt(t testing.TB, dsn string) *DB {
	t.Helper()
	d, err := OpenMySQL(t.Context(), dsn, 0)
	return closing(t, d, err)
}

func closing(t testing.TB, d *DB, err error) *DB {
	t.Helper()
	must(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func migrated(t testing.TB, d *DB) *DB {
	t.Helper()
	_, err := d.Migrate(t.Context())
	must(t, err)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isMySQL(d *DB) bool {
	_, ok := d.engine.(mysqlEngine)
	return ok
}

// texts returns the rows of a query with one column.
func texts(t testing.TB, pool *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), query, args...)
	must(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s sql.NullString
		must(t, rows.Scan(&s))
		if !s.Valid {
			s.String = "NULL"
		}
		all = append(all, s.String)
	}
	must(t, rows.Err())
	return all
}

func exec(t testing.TB, pool *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := pool.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func user(account string) db.CreateUserParams {
	return db.CreateUserParams{Account: account, Username: account}
}

func message(conversation string, seq int64) db.InsertMessageParams {
	return db.InsertMessageParams{
		Conversation: conversation, Seq: seq, Sender: "a", Body: fmt.Sprintf(`{"kind":"text","text":"%d"}`, seq), SentAt: seq,
	}
}
