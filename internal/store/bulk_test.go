package store

import (
	"errors"
	"strings"
	"testing"
)

var errGiveUp = errors.New("given up")

// A claim succeeds if every conversation has the expected state, and then writes all new states.
func TestClaimSeqs(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *DB) {
		exec(t, d.write, "INSERT INTO conversation (id, last_seq, created_at, rights, first_sent, second_sent) VALUES ('a', 5, 1, 2, 4, 5), ('b', 7, 1, 0, 0, 0)")
		stands, then := LockedConversation{Last: 5, Rights: 2, FirstSent: 4, SecondSent: 5}, LockedConversation{Last: 7, Rights: 2, FirstSent: 7, SecondSent: 6}
		b := NumberedConversation{ID: "b", Before: LockedConversation{Last: 7}, Now: LockedConversation{Last: 8}}
		for _, tt := range []struct {
			name   string
			before LockedConversation
			want   bool
		}{
			{"somebody else has written", LockedConversation{Last: 4, Rights: 2}, false},
			{"somebody else has written as much", LockedConversation{Last: 6, Rights: 2}, false},
			{"a right has ended", LockedConversation{Last: 5, Rights: 1}, false},
			{"as believed", stands, true},
			{"a second time", stands, false},
		} {
			err := d.Tx(t.Context(), func(tx *Tx) error {
				claimed, err := tx.ClaimSeqs(t.Context(), []NumberedConversation{{ID: "a", Before: tt.before, Now: then}, b})
				if claimed != tt.want {
					t.Errorf("%s: claimed %v", tt.name, claimed)
				}
				if err == nil && !claimed {
					err = errGiveUp
				}
				return err
			})
			if err != nil && !errors.Is(err, errGiveUp) {
				t.Fatal(err)
			}
		}
		got := strings.Join(texts(t, d.read, "SELECT CONCAT_WS(' ', id, last_seq, created_at, rights, first_sent, second_sent) FROM conversation ORDER BY id"), "\n")
		if want := "a 7 1 2 7 6\nb 8 1 0 0 0"; got != want {
			t.Errorf("the conversations are\n%s\nwant\n%s", got, want)
		}
	})
}
