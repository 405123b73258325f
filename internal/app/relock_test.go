package app_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/testserver"
)

// A single node survives the death of its MariaDB: when the server is back, it takes the lock again and goes on.
func TestLockOutlivesTheDatabase(t *testing.T) {
	t.Parallel()
	database := testserver.DatabaseServer(t)
	s := apptest.Start(t, apptest.Settings(t, apptest.Embedded, "--mysql-dsn="+database.Address))
	s.Login(t, "lo.before")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Wait(ctx) }()
	says := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(s.Log.String(), what); time.Sleep(20 * time.Millisecond) {
			select {
			case err := <-ended:
				t.Fatalf("it ended: %v", err)
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("it never said: %s", what)
			}
		}
	}
	database.Kill()
	says("the lock on the database was lost")
	database.Start()
	says("the lock on the database is taken again")
	s.Login(t, "lo.after")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
