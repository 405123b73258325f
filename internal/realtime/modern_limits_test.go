package realtime_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/apptest"
	"tim/internal/auth"
)

// Every request gets exactly one answer, also one that comes too fast, which is read later. A flood costs nobody else anything.
func TestModernRateLimit(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 100, burst: 5})
	n.users("alice", "bob")
	flood, other := n.device("alice"), n.device("bob")
	const count = 100
	begun := time.Now()
	asked := make([]string, count)
	for i := range count {
		asked[i] = flood.request("ping", nil)
	}
	flood.send(`{"type":"nope"}`)
	if f := other.ask("ping", nil); f.Type != "pong" {
		t.Errorf("another one got %s", f.text)
	}
	for _, id := range asked {
		if f := flood.read1(); f.Type != "pong" || f.ID != id {
			t.Fatalf("the answer to %s is %s", id, f.text)
		}
	}
	if f := flood.read1(); f.Type != "error" || f.Reason != "invalid_body" {
		t.Errorf("the answer to what is no request is %s", f.text)
	}
	if took := time.Since(begun); took < 700*time.Millisecond { // (101 - 5) / 100 s
		t.Errorf("%d at 100 a second took %v", count, took)
	}
}

// A subscribe counts as a further frame for every ten accounts.
func TestManyAccountsCostMore(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{rate: 20, burst: 5})
	n.users("alice")
	d := n.device("alice")
	many := make([]string, 200) // 20 frames
	for i := range many {
		many[i] = fmt.Sprint("nobody", i)
	}
	begun := time.Now()
	for range 2 {
		if f := d.ask("subscribe", map[string]any{"accounts": many}); f.Type != "subscribed" {
			t.Fatalf("got %s", f.text)
		}
	}
	if took := time.Since(begun); took < 500*time.Millisecond { // 21 - 5 frames before the second is read
		t.Errorf("two took %v", took)
	}
}

// shortLived is a token of a session that expires soon.
func (n *node) shortLived(session string, life time.Duration) string {
	n.t.Helper()
	var claims jwt.RegisteredClaims
	key := func(*jwt.Token) (any, error) { return make([]byte, auth.MinKeyBytes), nil }
	_, err := jwt.ParseWithClaims(n.tokens[session], &claims, key)
	must(n.t, err)
	claims.ExpiresAt = jwt.NewNumericDate(time.Now().Add(life))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(make([]byte, auth.MinKeyBytes))
	must(n.t, err)
	return token
}

// A token that expires closes its socket with 4501, unless it was renewed there; the new one is good.
func TestModernTokenExpiry(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice")
	n.tokens["alice#short"] = n.shortLived("alice", 2*time.Second)
	left, renewed := n.device("alice#short"), n.device("alice#short")
	f := renewed.ask("renew", nil)
	if f.Type != "renewed" {
		t.Fatalf("renew: %s", f.text)
	}
	left.expectBye(4501)
	if f := renewed.ask("ping", nil); f.Type != "pong" {
		t.Errorf("after the renewal: %s", f.text)
	}
	n.tokens["alice#new"] = f.Token
	n.device("alice#new")
	if _, response, err := n.tryDial("/websocket", options{header: http.Header{"token": {n.tokens["alice#short"]}}, protocols: []string{subprotocols}}); err == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("an expired token: %v, %v", response, err)
	}
}

// An end of the session is heard by a socket at once, and no request is served after it even if it isn't.
func TestModernSessionEnded(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice")
	session, err := n.auth.Authenticate(t.Context(), n.tokens["alice"])
	must(t, err)
	told := n.device("alice")
	must(t, n.auth.Logout(t.Context(), session))
	told.expectBye(4500)
}

// Nesting, size and many conversations: what is refused, and what is not.
func TestModernHostileFrames(t *testing.T) {
	t.Parallel()
	n := startNode(t, setup{})
	n.users("alice", "bob")
	n.friends("alice", "bob")
	d := n.device("alice")
	nested := func(levels int) string {
		return `{"type":"send","id":"x","to":{"user":"bob"},"clientId":"deep` + fmt.Sprint(levels) + `","body":{"kind":"custom","data":{"x":` +
			strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}}}`
	}
	d.send(nested(90))
	if f := d.read1(); f.Type != "sent" {
		t.Errorf("90 levels: %s", f.text)
	}
	for _, levels := range []int{101, 9_000, 10_001} {
		d.send(nested(levels))
		if f := d.read1(); f.Type != "error" || f.Field != "body.data" || f.ID != "x" {
			t.Errorf("%d levels: %.300s", levels, f.text)
		}
	}
	var have []map[string]any
	for i := range 1000 {
		have = append(have, map[string]any{"conversation": who{Group: i + 1}, "seq": i})
	}
	if f := d.ask("sync", map[string]any{"have": have}); f.Type != "synced" {
		t.Errorf("1,000 conversations: %.300s", f.text)
	}
	if f := d.ask("sync", map[string]any{"have": append(have, have[0])}); f.Field != "have" {
		t.Errorf("1,001: %.300s", f.text)
	}
	d.send(strings.Repeat("[", 100))
	d.expectBye(4502)
}

// The same refusals over the socket as over REST, for a stranger, a former member and one whose session has ended.
func TestModernParity(t *testing.T) {
	t.Parallel()
	w, _ := start(t, apptest.Embedded)
	w.users("alice", "stranger", "former", "gone")
	group := who{Group: w.group("alice", "former", "gone")}
	w.membership("former", "leaveGroup", group.Group)
	for _, account := range []string{"stranger", "former"} {
		d := w.device(account)
		for _, to := range []who{group, {User: "alice"}, {User: "nobody"}, {Group: 999}} {
			for _, one := range []struct {
				kind   string
				fields map[string]any
				method string
				path   string
				query  url.Values
				body   any
			}{
				{"send", textTo(to, "c", "x"), http.MethodPost, "/Tim/sendMessage", nil, textTo(to, "c", "x")},
				{"history", map[string]any{"conversation": to}, http.MethodGet, "/Tim/getHistory", to.query("account", account), nil},
				{"read", map[string]any{"conversation": to, "seq": 1}, http.MethodPost, "/Tim/markRead", to.query("UserAccount", account), nil},
				{"received", map[string]any{"conversation": to, "seq": 1}, http.MethodPost, "/Tim/markReceived", to.query("UserAccount", account), nil},
			} {
				f := d.ask(one.kind, one.fields)
				if one.query != nil && one.method == http.MethodPost {
					one.query.Set("seq", "1")
				}
				_, answer, err := w.try(account, one.method, one.path, one.query, one.body)
				must(t, err)
				var envelope struct {
					Reason string `json:"reason"`
				}
				must(t, json.Unmarshal(answer, &envelope))
				if f.Reason == "" || f.Reason != envelope.Reason {
					t.Errorf("%s, %s to %v: %s over the socket, %s over REST", account, one.kind, to, f.text, answer)
				}
			}
		}
	}
	d := w.device("gone")
	w.call("gone", http.MethodGet, "/Tim/UserLogout", nil, nil)
	d.expectBye(4500)
	if status, answer, _ := w.try("gone", http.MethodGet, "/Tim/getHistory", group.query("account", "gone"), nil); status != http.StatusUnauthorized {
		t.Errorf("REST after the session's end: %d %s", status, answer)
	}
}

// query names a conversation in the parameters of a REST route.
func (w who) query(parameter, account string) url.Values {
	q := url.Values{parameter: {account}}
	if w.Group != 0 {
		q.Set("GroupID", fmt.Sprint(w.Group))
	} else {
		q.Set("FriendAccount", w.User)
	}
	return q
}
