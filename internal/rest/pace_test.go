package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"tim/internal/fault"
	"tim/internal/pace"
)

// The limit holds only for sending, for each account by itself, and the refusal says when to try again.
func TestSendingTooFast(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Options) { o.Pace = pace.New(0.001, 2) })
	alice, bob := s.login(t, "alice"), s.login(t, "bob")
	send := func(token string) *httptest.ResponseRecorder {
		return s.post("/Tim/sendMessage", `{"to": {"user": "carol"}, "clientId": "1", "body": {"kind": "text", "text": "x"}}`, "token", token)
	}
	for i, want := range []fault.Reason{fault.UnknownAccount, fault.UnknownAccount, fault.RateLimited, fault.RateLimited} {
		w := send(alice)
		same(t, fmt.Sprint("alice's ", i), want, fault.Reason(envelopeOf(t, w).Reason))
		if want != fault.RateLimited {
			continue
		}
		after, err := strconv.Atoi(w.Header().Get("Retry-After"))
		if w.Code != http.StatusTooManyRequests || err != nil || after < 500 || after > 1000 {
			t.Errorf("%d, Retry-After %d, %v", w.Code, after, err)
		}
	}
	same(t, "bob's", fault.UnknownAccount, fault.Reason(envelopeOf(t, send(bob)).Reason))
	same(t, "alice's other session's", fault.RateLimited, fault.Reason(envelopeOf(t, send(s.again(t, "alice"))).Reason))
	if w := s.get("/Tim/getFriends?account=alice", "token", alice); w.Code != http.StatusOK {
		t.Errorf("another route: %d %s", w.Code, w.Body)
	}
	if w := s.post("/Tim/sendMessage", "{}", "token", "x"); w.Code != http.StatusUnauthorized {
		t.Errorf("without a session: %d %s", w.Code, w.Body)
	}
}
