package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"tim/internal/client"
)

const (
	askTimeout = 12 * time.Second // more than a node gives a statement, so that the node's own answer comes first
	retryFor   = 60 * time.Second
	password   = "correct horse"
)

// nodeChoice chooses nodes at random, as a load balancer that doesn't ask for their health.
type nodeChoice struct{ nodes []*node }

func (c nodeChoice) any(random *rand.Rand) *node { return c.nodes[random.IntN(len(c.nodes))] }

// retry asks nodes until one answers with a success or a refusal, for at most retryFor. The request must be one that may be repeated.
// A refusal is a *client.Refusal.
func (t *trial) retry(ctx context.Context, random *rand.Rand, token string, ask func(context.Context, *client.REST) error) error {
	ctx, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	for {
		c, err := client.NewREST(t.any(random).URL, token, t.http)
		if err != nil {
			return err
		}
		if err = ask(ctx, c); err == nil || isFinal(err) {
			return err
		}
		t.results.noteFailure("REST", err)
		if !sleep(ctx, nil, randomAround(random, 200*time.Millisecond)) {
			return errors.Join(ctx.Err(), err)
		}
	}
}

// isFinal tells whether an error is a refusal that asking again wouldn't change.
func isFinal(err error) bool {
	refusal, ok := errors.AsType[*client.Refusal](err)
	return ok && refusal.Status < http.StatusInternalServerError && refusal.Status != http.StatusTooManyRequests
}

// logIn returns a token of a new session.
func (t *trial) logIn(ctx context.Context, random *rand.Rand, account string) (token string, err error) {
	err = t.retry(ctx, random, "", func(ctx context.Context, c *client.REST) error {
		token, err = c.LogIn(ctx, account, password)
		return err
	})
	return token, err
}

// logOut ends a session. It is no error when the session had ended before.
func (t *trial) logOut(ctx context.Context, random *rand.Rand, token string) error {
	err := t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error { return c.LogOut(ctx) })
	if client.RefusedWith(err, http.StatusUnauthorized) {
		return nil
	}
	return err
}

// historyPage is how many messages history asks for at once.
const historyPage = 200

// history reads a conversation from beginning to end over REST, as its account sees it.
func (t *trial) history(ctx context.Context, a *account, token string, of conversation) (all []client.HistoryMessage, err error) {
	random := t.random("history " + of.key)
	for after := int64(0); ; {
		var page []client.HistoryMessage
		err := t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) (err error) {
			page, err = c.History(ctx, a.name, of.target, after, historyPage)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", of.key, err)
		}
		if len(page) == 0 {
			return all, nil
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}
