package store

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestServerLockName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, database := range []string{"tim", "Tim", "", strings.Repeat("聊", 64), strings.Repeat("聊", 63)} {
		name := serverLockName("migrate", database)
		if n := utf8.RuneCountInString(name); n > 64 || !utf8.ValidString(name) || seen[strings.ToLower(name)] {
			t.Errorf("%q: %q, %d characters", database, name, n)
		}
		seen[strings.ToLower(name)] = true
	}
	if name := serverLockName("node", "chat"); !strings.Contains(name, "chat") {
		t.Errorf("%q doesn't tell the database", name)
	}
}
