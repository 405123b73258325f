package auth

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"tim/internal/fault"
)

// exchange renews a token by a request, which may be after it has expired.
func (n *node) exchange(t testing.TB, token string) string {
	t.Helper()
	s, err := n.AuthenticateToRenew(token)
	must(t, err)
	fresh, _, err := n.Exchange(t.Context(), s)
	must(t, err)
	return fresh
}

// refusedExchange fails the test unless a token can't be renewed, for a reason.
func (n *node) refusedExchange(t testing.TB, token string, reason fault.Reason) {
	t.Helper()
	s, err := n.AuthenticateToRenew(token)
	must(t, err)
	_, _, err = n.Exchange(t.Context(), s)
	refused(t, err, reason)
}

// good fails the test unless a node takes a token.
func good(t testing.TB, a *Auth, token string) Session {
	t.Helper()
	s, err := a.Authenticate(t.Context(), token)
	if err != nil {
		t.Errorf("a good token: %v", err)
	}
	return s
}

// bad fails the test unless a node refuses a token, for a reason.
func bad(t testing.TB, a *Auth, token string, reason fault.Reason) {
	t.Helper()
	_, err := a.Authenticate(t.Context(), token)
	refused(t, err, reason)
}

// passGrace makes a session's last renewal lie so far back that the token before is refused, for nodes that have no memory of
// the session.
func (n *node) passGrace(t testing.TB, id string) {
	t.Helper()
	n.exec(t, "UPDATE session SET renewed_at = renewed_at - ? WHERE id = ?", n.Lives.Grace.Milliseconds(), id)
	n.seen.clear()
}

// aged is a token of a session that was signed a time ago.
func (n *node) aged(t testing.TB, s Session, ago time.Duration) string {
	t.Helper()
	token, _, err := n.sign(s.Account, s.ID, s.Generation, s.Ends, time.Now().Add(-ago))
	must(t, err)
	return token
}

// unmarked is a token as versions before generations signed it.
func unmarked(t testing.TB, s Session, expires time.Time) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		ID: s.ID, Subject: s.Account, Issuer: issuer, ExpiresAt: jwt.NewNumericDate(expires),
	}).SignedString([]byte(testKey))
	must(t, err)
	return token
}

func TestExchange(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		_, s := n.login(t, "alice")
		n.exec(t, "UPDATE session SET used_at = 1, expires_at = ? WHERE id = ?", ms(time.Now().Add(time.Hour)), s.ID)
		before := time.Now()
		token, expires, err := n.Exchange(t.Context(), s)
		must(t, err)
		fresh := good(t, n.Auth, token)
		if fresh.ID != s.ID || fresh.Account != "alice" || !fresh.Expires.Equal(expires) || fresh.Generation != s.Generation+1 {
			t.Errorf("the fresh token is %+v until %s, of %+v", fresh, expires, s)
		}
		if expires.Before(before.Add(TokenLife-time.Second)) || expires.After(time.Now().Add(TokenLife)) { // in whole seconds
			t.Errorf("it expires at %s", expires)
		}
		rows, err := n.DB.Read().Sessions(t.Context(), "alice")
		must(t, err)
		row := rows[0]
		if row.UsedAt < ms(before) || row.ExpiresAt < ms(before.Add(SessionIdle)) {
			t.Errorf("the session: %+v", row)
		}
		must(t, n.Logout(t.Context(), s))
		for _, a := range []*Auth{n.Auth, n.beside()} {
			_, _, err = a.Exchange(t.Context(), s)
			refused(t, err, fault.SessionEnded)
			_, _, err = a.Renew(t.Context(), s, "a connection")
			refused(t, err, fault.SessionEnded)
		}
		bad(t, n.Auth, token, fault.SessionEnded)
	})
}

// The token before is good for a grace, on each node. Whoever uses it after that ends the session, if the new one was used.
func TestTokenAfterItsRenewal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		_, elsewhere := n.login(t, "alice")
		first, s := n.login(t, "alice")
		other := n.beside()
		good(t, other, first)
		second := n.exchange(t, first)
		for _, a := range []*Auth{n.Auth, other, n.beside()} { // also one that remembers the session as it was
			good(t, a, first)
			good(t, a, second)
			good(t, a, first)
		}
		n.passGrace(t, s.ID)
		good(t, n.Auth, second)
		bad(t, n.Auth, first, fault.TokenReused)
		for _, token := range []string{first, second} {
			bad(t, n.Auth, token, fault.TokenReused) // this node knows why for a minute
			bad(t, n.beside(), token, fault.SessionEnded)
			n.refusedExchange(t, token, fault.TokenReused)
		}
		if got := n.toldOf(); len(got) != 1 || got[0] != s.ID {
			t.Errorf("told of %v, want %s", got, s.ID)
		}
		if _, err := n.Authenticate(t.Context(), n.aged(t, elsewhere, 0)); err != nil {
			t.Errorf("another session: %v", err)
		}
	})
}

// The answer to a renewal may be lost, for however long: until a token of the new generation is used, the old one is refused
// after the grace, but ends nothing and can be renewed.
func TestRenewalWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		first, s := n.login(t, "alice")
		n.exchange(t, first) // lost
		n.exchange(t, first) // the retry, lost too
		good(t, n.Auth, first)
		n.passGrace(t, s.ID)
		bad(t, n.Auth, first, fault.ExpiredToken)
		n.exchange(t, first) // a later one, lost too
		second := n.exchange(t, first)
		if got := good(t, n.Auth, second).Generation; got != 1 {
			t.Errorf("the retries began %d generations", got)
		}
		n.refusedExchange(t, first, fault.TokenReused) // it can't have been lost: it was used
		bad(t, n.Auth, second, fault.TokenReused)
	})
}

// An expired token can be exchanged once.
func TestExpiredTokenIsExchangedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		_, s := n.login(t, "alice")
		first := n.aged(t, s, 25*time.Hour)
		bad(t, n.Auth, first, fault.ExpiredToken)
		second := n.exchange(t, first)
		good(t, n.Auth, second)
		bad(t, n.Auth, first, fault.ExpiredToken)
		n.exchange(t, first) // another page of the browser, a moment later
		n.passGrace(t, s.ID)
		bad(t, n.Auth, first, fault.ExpiredToken) // as a token it is good for nothing, whoever has it
		good(t, n.Auth, second)
		n.refusedExchange(t, first, fault.TokenReused)
		bad(t, n.beside(), second, fault.SessionEnded)

		_, s = n.login(t, "alice")
		must(t, n.Logout(t.Context(), s))
		n.refusedExchange(t, n.aged(t, s, 25*time.Hour), fault.SessionEnded)
		_, s = n.login(t, "alice")
		n.exec(t, "UPDATE session SET expires_at = ? WHERE id = ?", ms(time.Now()), s.ID)
		n.refusedExchange(t, n.aged(t, s, 25*time.Hour), fault.SessionEnded)
	})
}

// Pages and connections of one session that all renew, in turn and at once, over many renewals: none of them is refused.
func TestPagesOfOneSession(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, s := n.login(t, "alice")
		pages := make([]string, 3)
		for i := range pages {
			pages[i] = token
		}
		connections := []Session{s, s, s}
		nodes := []*Auth{n.Auth, n.beside()}
		for round := range 4 {
			var work sync.WaitGroup
			for i := range pages {
				work.Go(func() {
					page, err := nodes[i%2].AuthenticateToRenew(pages[i])
					must(t, err)
					if pages[i], _, err = nodes[i%2].Exchange(t.Context(), page); err != nil {
						t.Errorf("round %d, page %d: %v", round, i, err)
					}
				})
			}
			for i := range 2 {
				work.Go(func() {
					var err error
					if _, connections[i], err = nodes[i].Renew(t.Context(), connections[i], fmt.Sprint(i)); err != nil {
						t.Errorf("round %d, connection %d: %v", round, i, err)
					}
				})
			}
			work.Wait()
			for i, page := range pages {
				if got := good(t, nodes[i%2], page).Generation; got != int64(round+1) {
					t.Errorf("round %d: page %d has generation %d", round, i, got)
				}
			}
			n.passGrace(t, s.ID)
			nodes[1].seen.clear()
		}
		// The third connection slept all the while. It has presented no token, and gets one of the newest generation.
		late, next, err := n.Renew(t.Context(), connections[2], "2")
		must(t, err)
		if good(t, n.Auth, late); next.Generation != 4 {
			t.Errorf("the connection that slept has generation %d", next.Generation)
		}
		good(t, n.Auth, pages[0])
	})
}

// Tokens of a version before this one are good until they expire, whatever became of their session's generation. A node of that
// version signs such tokens too, while the nodes of a cluster are replaced one by one.
func TestTokensOfTheVersionBefore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		_, s := n.login(t, "alice")
		living, expired := unmarked(t, s, time.Now().Add(time.Hour)), unmarked(t, s, time.Now().Add(-time.Hour))
		good(t, n.Auth, living)
		bad(t, n.Auth, expired, fault.ExpiredToken)
		second := n.exchange(t, expired)
		good(t, n.Auth, second)
		n.passGrace(t, s.ID)
		n.refusedExchange(t, expired, fault.ExpiredToken)
		good(t, n.Auth, living)
		good(t, n.Auth, n.exchange(t, living))
		good(t, n.Auth, second)
	})
}

// A database that was restored from a backup is behind the tokens that were signed since.
func TestGenerationOfABackup(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		first, s := n.login(t, "alice")
		second := n.exchange(t, first)
		good(t, n.Auth, second)
		n.exec(t, "UPDATE session SET generation = 0, renewed_at = 0, confirmed_at = 0 WHERE id = ?", s.ID)
		n.seen.clear()
		good(t, n.Auth, second)
		third := n.exchange(t, second)
		if got := good(t, n.Auth, third).Generation; got != 2 {
			t.Errorf("the third has generation %d", got)
		}
	})
}

// The connections of a session hear of its renewal once, except the one that renews.
func TestRenewalIsTold(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, s := n.login(t, "alice")
		var told []string
		n.Renewed = func(account, session, connection string) {
			told = append(told, fmt.Sprint(account, " ", session == s.ID, " ", connection))
		}
		_, next, err := n.Renew(t.Context(), s, "c")
		must(t, err)
		n.exchange(t, token)
		n.passGrace(t, s.ID)
		n.exchange(t, n.aged(t, next, 0))
		if got := fmt.Sprint(told); got != "[alice true c alice true ]" {
			t.Errorf("told %s", got)
		}
	})
}

// However a session is used, it ends at its time, and so do its tokens. An hour before, nothing prolongs it.
func TestSessionLifetime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n *node) {
		n.register(t, "alice")
		token, s := n.login(t, "alice")
		if want := time.Now().Add(SessionLifetime); s.Ends.Before(want.Add(-time.Minute)) || s.Ends.After(want) {
			t.Errorf("it ends at %s", s.Ends)
		}
		began := time.Now().Add(30*time.Minute - SessionLifetime)
		n.exec(t, "UPDATE session SET created_at = ?, used_at = 0, expires_at = ? WHERE id = ?", ms(began), ms(time.Now().Add(time.Minute)), s.ID)
		n.seen.clear()
		good(t, n.Auth, token)
		fresh := good(t, n.Auth, n.exchange(t, token))
		if fresh.Ends.UnixMilli() != ms(began.Add(SessionLifetime)) || fresh.Expires.After(fresh.Ends) || fresh.Expires.Before(fresh.Ends.Add(-time.Second)) {
			t.Errorf("the token expires at %s, the session ends at %s", fresh.Expires, fresh.Ends)
		}
		rows, err := n.DB.Read().Sessions(t.Context(), "alice")
		must(t, err)
		if rows[0].ExpiresAt != ms(fresh.Ends) {
			t.Errorf("the row says %d, want %d", rows[0].ExpiresAt, ms(fresh.Ends))
		}
		// A shorter lifetime counts for sessions that are there already.
		n.exec(t, "UPDATE session SET created_at = ? WHERE id = ?", ms(time.Now().Add(-SessionLifetime)), s.ID)
		other := n.beside()
		bad(t, other, token, fault.SessionEnded)
		_, _, err = other.Exchange(t.Context(), s)
		refused(t, err, fault.SessionEnded)
		logins, err := other.Sessions(t.Context(), "alice")
		must(t, err)
		errs, err := other.CheckAll(t.Context(), []Session{s})
		must(t, err)
		if refused(t, errs[0], fault.SessionEnded); len(logins) != 0 {
			t.Errorf("it is listed: %v", logins)
		}
	})
}
