package app_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/fault"
	"tim/internal/testserver"
)

// used returns the settings of an embedded server that has run, with an account and a picture.
func used(t *testing.T) app.Settings {
	t.Helper()
	settings := apptest.Settings(t, apptest.Embedded)
	s := serve(t, settings)
	s.setAvatar(t, s.enter(t, "us.a"), "us.a", jpgBytes(t))
	s.Shutdown(t)
	return settings
}

// A data folder whose database is missing or unusable is refused, and the refusal says what to do. Nothing is made in its place.
func TestUnusableDatabase(t *testing.T) {
	t.Parallel()
	write := func(content string) func(t *testing.T, folder string) {
		return func(t *testing.T, folder string) {
			t.Helper()
			must(t, os.WriteFile(filepath.Join(folder, "tim.db"), []byte(content), 0o600))
		}
	}
	remove := func(t *testing.T, folder string, names ...string) {
		t.Helper()
		for _, name := range names {
			must(t, os.RemoveAll(filepath.Join(folder, name)))
		}
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, folder string)
		says  []string
	}{
		"missing": {func(t *testing.T, folder string) { remove(t, folder, "tim.db") }, []string{"tim.db is missing", "files/avatar/", "move"}},
		"missing, without files": {
			func(t *testing.T, folder string) {
				remove(t, folder, "tim.db", "files/avatar")
			}, []string{"tim.db is missing", "jwt.key", "move"},
		},
		"missing, without a key": {
			func(t *testing.T, folder string) { remove(t, folder, "tim.db", "jwt.key") }, []string{"tim.db is missing", "files/avatar/"},
		},
		"a log alone": {
			func(t *testing.T, folder string) {
				remove(t, folder, "tim.db", "jwt.key", "files")
				must(t, os.WriteFile(filepath.Join(folder, "tim.db-wal"), []byte("x"), 0o600))
			}, []string{"tim.db is missing", "tim.db-wal"},
		},
		"empty":        {write(""), []string{"tim.db", "0 bytes", "backup"}},
		"another file": {write(strings.Repeat("no database ", 1000)), []string{"tim.db", "no database of SQLite"}},
		"a short file": {write("x"), []string{"tim.db", "1 bytes", "backup"}},
		"a picture":    {write("\xff\xd8\xff" + strings.Repeat("\x00", 5000)), []string{"tim.db", "no database of SQLite"}},
		"a folder": {func(t *testing.T, folder string) {
			remove(t, folder, "tim.db")
			must(t, os.Mkdir(filepath.Join(folder, "tim.db"), 0o700))
		}, []string{"is a folder"}},
		"a newer one":   {func(t *testing.T, folder string) { newer(t, folder) }, []string{"newer version"}},
		"torn in parts": {func(t *testing.T, folder string) { must(t, os.Truncate(filepath.Join(folder, "tim.db"), 5000)) }, []string{"tim.db", "damaged"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := used(t)
			tt.spoil(t, settings.DataDir)
			before := list(t, settings.DataDir)
			server, err := app.Start(t.Context(), settings, quiet())
			if err == nil {
				t.Fatalf("it started: %v", server.Stop(t.Context()))
			}
			for _, part := range tt.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q doesn't say %q", err, part)
				}
			}
			if after := list(t, settings.DataDir); strings.Contains(tt.says[0], "missing") && after != before {
				t.Errorf("the folder had\n%s\nand has\n%s", before, after)
			}
		})
	}
	t.Run("a key alone is no database that is lost", func(t *testing.T) {
		t.Parallel()
		settings := used(t)
		remove(t, settings.DataDir, "tim.db", "files")
		serve(t, settings).enter(t, "us.b")
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newer(t *testing.T, folder string) {
	t.Helper()
	_, err := database(t, app.Settings{DataDir: folder}).ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (10000, 1)")
	must(t, err)
}

func list(t *testing.T, folder string) (names string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	for _, e := range entries {
		names += e.Name() + "\n"
	}
	return names
}

// A folder that belongs to somebody else is named.
func TestFolderOfSomebodyElse(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 { // who isn't root can't become somebody else, and needn't
		return
	}
	for name, mode := range map[string]os.FileMode{"read-only": 0o555, "closed": 0o700} {
		settings := apptest.Settings(t, apptest.Embedded)
		must(t, os.Chmod(settings.DataDir, mode))
		for folder := filepath.Dir(settings.DataDir); folder != "/" && folder != os.TempDir(); folder = filepath.Dir(folder) {
			must(t, os.Chmod(folder, 0o755))
		}
		binary := timBinary(t)
		must(t, os.Chmod(filepath.Dir(binary), 0o755))
		cmd := exec.CommandContext(t.Context(), binary, "serve")
		cmd.Env = environment(settings)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), settings.DataDir) || !strings.Contains(string(out), "writable") && !strings.Contains(string(out), "permission denied") {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
}

func spoil(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", int(info.Size())-2*4096)), 2*4096)
	must(t, err)
	must(t, f.Close())
}

// Damage that a start finds, and damage that a request finds, turn /readyz red, and the log says so.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	unavailable := want{http.StatusServiceUnavailable, fault.Unavailable, "服务暂不可用，请稍后再试", "unavailable; try again later"}
	red := func(t *testing.T, s *site) {
		t.Helper()
		eventually(t, "it says that the database is damaged", func() bool {
			status, states := s.ready(t)
			return status == http.StatusServiceUnavailable && states["database"] == "damaged"
		})
		if !strings.Contains(s.Log.String(), "THE DATABASE IS DAMAGED") {
			t.Error("the log says nothing")
		}
		if got := s.do(t, ask{path: "/healthz"}); got.status != http.StatusOK {
			t.Errorf("healthz: %d", got.status)
		}
	}
	t.Run("at the start", func(t *testing.T) {
		t.Parallel()
		settings := used(t)
		_, err := database(t, settings).ExecContext(t.Context(), "CREATE TABLE spoilt (x TEXT); INSERT INTO spoilt VALUES (hex(zeroblob(20000)))")
		must(t, err)
		_, err = database(t, settings).ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
		must(t, err)
		file := filepath.Join(settings.DataDir, "tim.db")
		info, err := os.Stat(file)
		must(t, err)
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 3*4096)), info.Size()-3*4096) // of that table alone
		must(t, err)
		must(t, f.Close())
		red(t, serve(t, settings))
	})
	t.Run("at a request", func(t *testing.T) {
		t.Parallel()
		s := start(t, apptest.Embedded)
		token := s.enter(t, "dm.a")
		_, err := database(t, s.Settings).ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
		must(t, err)
		spoil(t, filepath.Join(s.Settings.DataDir, "tim.db"))
		eventually(t, "a request meets the damage", func() bool {
			var work sync.WaitGroup
			for range 8 { // on several connections, since one may remember pages
				work.Go(func() { s.do(t, get(token, "/Tim/getProfile", "account", "dm.a")) })
			}
			work.Wait()
			return strings.Contains(s.Log.String(), "THE DATABASE IS DAMAGED")
		})
		red(t, s)
	})
	if testserver.Available() {
		t.Run("a table on a server", func(t *testing.T) {
			t.Parallel()
			s := start(t, apptest.Servers)
			token := s.enter(t, "dm.a")
			db := database(t, s.Settings)
			_, err := db.ExecContext(t.Context(), "ALTER TABLE friends DISCARD TABLESPACE")
			must(t, err)
			s.refused(t, get(token, "/Tim/getFriends", "account", "dm.a"), unavailable)
			red(t, s)
			_, err = db.ExecContext(t.Context(), "DROP TABLE friends")
			must(t, err)
			_, err = db.ExecContext(t.Context(), "CREATE TABLE friends (`user` varchar(100) COLLATE utf8mb4_bin, friend varchar(100) COLLATE utf8mb4_bin, PRIMARY KEY (`user`, friend))")
			must(t, err)
			eventually(t, "it is repaired", func() bool {
				status, _ := s.ready(t)
				return status == http.StatusOK
			})
			s.friends(t, token, "dm.a")
		})
	}
}
