package realtime_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tim/internal/apptest"
)

// Every face shows the same accounts online: profiles, searches, presence on tim.v1 and the list of the chat socket.
func TestOnePresenceOnEveryFace(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			w, _ := start(t, mode)
			all := []string{"exfriend", "exmate", "friend", "mate", "stranger"}
			w.users(append([]string{"alice"}, all...)...)
			w.friends("alice", "friend", "exfriend")
			group := w.group("alice", "mate", "exmate")
			w.call("exfriend", http.MethodGet, "/Tim/deleteFriend", url.Values{"UserAccount": {"exfriend"}, "FriendAccount": {"alice"}}, nil)
			w.membership("exmate", "leaveGroup", group)
			for _, account := range all {
				w.device(account)
			}
			want := []string{"friend", "mate"}
			var profiles, found []string
			for _, account := range all {
				if w.online("alice", "/Tim/getProfile", "account", account) {
					profiles = append(profiles, account)
				}
				if w.online("alice", "/Tim/findUsers", "keyword", account) {
					found = append(found, account)
				}
			}
			var subscribed struct {
				Online []string `json:"online"`
			}
			must(t, json.Unmarshal([]byte(w.device("alice").ask("subscribe", map[string]any{"accounts": all}).text), &subscribed))
			chat := w.dial("alice", chatPath("alice"))
			chat.next()
			list := chat.next()
			var listed []string
			for _, account := range all {
				if strings.Contains(list, `"`+account+`"`) {
					listed = append(listed, account)
				}
			}
			slices.Sort(subscribed.Online)
			for face, got := range map[string][]string{"getProfile": profiles, "findUsers": found, "subscribe": subscribed.Online, "the chat socket": listed} {
				if !slices.Equal(got, want) {
					t.Errorf("%s shows %v online, want %v", face, got, want)
				}
			}
		})
	}
}

// online asks for a user by REST, or for the one of a page, and reports whether it is shown online.
func (w *world) online(session, path, parameter, account string) bool {
	w.t.Helper()
	type user struct {
		OnlineStatus int `json:"onlineStatus"`
	}
	data := w.call(session, http.MethodGet, path, url.Values{parameter: {account}}, nil)
	var one user
	if json.Unmarshal(data, &one) == nil {
		return one.OnlineStatus == 1
	}
	var page []user
	must(w.t, json.Unmarshal(data, &page))
	return len(page) == 1 && page[0].OnlineStatus == 1
}
