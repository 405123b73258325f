package app_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // for tests that read or break the database directly
	_ "modernc.org/sqlite"

	"tim/internal/app"
)

// database opens the server's database directly.
func database(t testing.TB, settings app.Settings) *sql.DB {
	t.Helper()
	driver, source := "sqlite", "file:"+filepath.Join(settings.DataDir, "tim.db")+"?_pragma=busy_timeout(10000)"
	if settings.MySQLDSN != "" {
		driver, source = "mysql", settings.MySQLDSN
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// quoted returns an identifier as the engine quotes it.
func quoted(settings app.Settings, name string) string {
	if settings.MySQLDSN != "" {
		return "`" + name + "`"
	}
	return `"` + name + `"`
}

// ownerOf reads a group's owner from the database.
func (s *site) ownerOf(t testing.TB, group int32) string {
	t.Helper()
	var owner sql.NullString
	err := database(t, s.Settings).QueryRowContext(t.Context(),
		"SELECT creator FROM "+quoted(s.Settings, "group")+" WHERE GroupID = ?", group).Scan(&owner)
	if err != nil {
		t.Fatal(err)
	}
	return owner.String
}

// eventually waits for something that the server does at a later time.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
