package realtime_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"tim/gen/api"
	"tim/internal/apptest"
)

// A retry over REST gets its seq, whatever has become of the right, and pages show a client id to its sender alone.
func TestOwnMessagesOverREST(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	w.users("alice", "bob")
	w.friends("alice", "bob")
	group := w.group("alice", "bob")
	targets := []map[string]any{{"user": "bob"}, {"group": group}}
	send := func(to map[string]any, clientID, text string) (int, string) {
		status, answer, err := w.try("alice", http.MethodPost, "/Tim/sendMessage", nil, map[string]any{
			"to": to, "clientId": clientID, "body": map[string]any{"kind": "text", "text": text},
		})
		must(t, err)
		var said struct {
			Reason string   `json:"reason"`
			Data   api.Sent `json:"data"`
		}
		must(t, json.Unmarshal(answer, &said))
		return status, fmt.Sprint(said.Reason, said.Data.Seq)
	}
	var seqs [2]string
	for i, to := range targets {
		_, seqs[i] = send(to, "c1", "hello")
	}
	for reader, want := range map[string]string{"alice": "c1", "bob": ""} {
		peer := map[string]string{"alice": "bob", "bob": "alice"}[reader]
		for _, of := range []url.Values{{"FriendAccount": {peer}}, {"GroupID": {fmt.Sprint(group)}}} {
			of.Set("account", reader)
			var page api.History
			must(t, json.Unmarshal(w.call(reader, http.MethodGet, "/Tim/getHistory", of, nil), &page))
			m := page.Messages[len(page.Messages)-1]
			if got := clientIDOf(m); got != want || m.Sender != "alice" {
				t.Errorf("%s reads %s's message with the client id %q, want %q", reader, m.Sender, got, want)
			}
		}
		var list api.Conversations
		must(t, json.Unmarshal(w.call(reader, http.MethodGet, "/Tim/getConversations", url.Values{"account": {reader}}, nil), &list))
		for _, c := range list.Conversations {
			if got := clientIDOf(*c.Message); got != want {
				t.Errorf("%s's list has the client id %q, want %q", reader, got, want)
			}
		}
	}
	w.call("bob", http.MethodGet, "/Tim/deleteFriend", url.Values{"UserAccount": {"bob"}, "FriendAccount": {"alice"}}, nil)
	w.membership("alice", "leaveGroup", group)
	for i, to := range targets {
		if status, got := send(to, "c1", "hello"); status != http.StatusOK || got != seqs[i] {
			t.Errorf("the retry to %v: %d %s, want %s", to, status, got, seqs[i])
		}
		if status, got := send(to, "c1", "other"); status != http.StatusConflict {
			t.Errorf("the client id to %v with another text: %d %s", to, status, got)
		}
		if status, got := send(to, "c2", "hello"); status != http.StatusForbidden {
			t.Errorf("a new message to %v: %d %s", to, status, got)
		}
	}
}

func clientIDOf(m api.Message) string {
	if m.ClientID == nil {
		return ""
	}
	return *m.ClientID
}
