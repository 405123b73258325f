package apptest_test

import (
	"os"
	"testing"

	"tim/gen/client"
	"tim/internal/apptest"
	"tim/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

func TestBothModesServe(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := apptest.Start(t, apptest.Settings(t, mode))
			token := s.Login(t, "alice")
			friends, err := s.Client(t, token).GetFriendsWithResponse(t.Context(), friendsOf("alice"))
			if err != nil {
				t.Fatal(err)
			}
			if friends.JSON200 == nil || len(*friends.JSON200) != 0 {
				t.Errorf("friends: %d %s, want []", friends.StatusCode(), friends.Body)
			}
		})
	}
}

func friendsOf(account string) *client.GetFriendsParams {
	return &client.GetFriendsParams{Account: account}
}
