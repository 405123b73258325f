package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"time"

	"tim/gen/client"
)

const (
	askTimeout = 12 * time.Second // above what a node gives a statement, so that its own answer comes first
	insistFor  = 60 * time.Second
	password   = "correct horse"
)

// errRefused says that the server has answered, and how.
type errRefused struct {
	status int
	body   string
}

func (e *errRefused) Error() string { return fmt.Sprintf("%d %s", e.status, e.body) }

// nodeChoice picks nodes by chance, as a load balancer does that knows nothing of their state.
type nodeChoice struct{ nodes []*node }

func (c nodeChoice) any(random *rand.Rand) *node { return c.nodes[random.IntN(len(c.nodes))] }

// on is a client of a node, for a token or "".
func (t *trial) on(n *node, token string) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(n.url, client.WithHTTPClient(t.http),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			if token != "" {
				r.Header.Set("token", token)
			}
			return nil
		}))
}

// response is what every answer of the generated client has.
type response interface{ StatusCode() int }

// insist asks nodes until one answers with anything but a failure of its own, as a patient client does. What is asked
// must bear repetition. A refusal is an *errRefused.
func insist[R response](ctx context.Context, t *trial, random *rand.Rand, token string, ask func(context.Context, *client.ClientWithResponses) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, insistFor)
	defer cancel()
	var none R
	for {
		c, err := t.on(t.any(random), token)
		if err != nil {
			return none, err
		}
		var answer R
		answer, err = ask(ctx, c)
		if err == nil {
			status := answer.StatusCode()
			switch {
			case status == http.StatusOK:
				return answer, nil
			case status < http.StatusInternalServerError && status != http.StatusTooManyRequests:
				return answer, &errRefused{status: status, body: body(answer)}
			}
			err = &errRefused{status: status}
		}
		if !rest(ctx, nil, about(random, 200*time.Millisecond)) {
			return none, errors.Join(ctx.Err(), err)
		}
	}
}

// body is what an answer says: the generated types have a field for it, and no method.
func body(answer response) string {
	if field := reflect.Indirect(reflect.ValueOf(answer)).FieldByName("Body"); field.IsValid() {
		return string(field.Bytes())
	}
	return ""
}

// refusedWith tells whether an error is the server's refusal with a status.
func refusedWith(err error, status int) bool {
	refused, ok := errors.AsType[*errRefused](err)
	return ok && refused.status == status
}

// logIn returns a token of a new session.
func (t *trial) logIn(ctx context.Context, random *rand.Rand, account string) (string, error) {
	in, err := insist(ctx, t, random, "", func(ctx context.Context, c *client.ClientWithResponses) (*client.UserLoginResponse, error) {
		return c.UserLoginWithResponse(ctx, client.Credentials{Account: account, Password: password})
	})
	if err != nil {
		return "", fmt.Errorf("log in %s: %w", account, err)
	}
	if data := in.JSON200.Data; len(data) == 2 && data[1].Token != nil {
		return *data[1].Token, nil
	}
	return "", fmt.Errorf("log in %s: no token in %s", account, in.Body)
}

// logOut ends a session; that it had ended before is as good.
func (t *trial) logOut(ctx context.Context, random *rand.Rand, token string) error {
	_, err := insist(ctx, t, random, token, func(ctx context.Context, c *client.ClientWithResponses) (*client.UserLogoutResponse, error) {
		return c.UserLogoutWithResponse(ctx)
	})
	if refusedWith(err, http.StatusUnauthorized) {
		return nil
	}
	return err
}

// historyPage is how many messages compareHistory asks for at once.
const historyPage = 200

// history reads a conversation from beginning to end over REST, as its account sees it.
func (t *trial) history(ctx context.Context, a *account, token string, c conversation) ([]client.Message, error) {
	random := t.random("history " + c.key)
	var all []client.Message
	after, limit := int64(0), int32(historyPage)
	for {
		page, err := insist(ctx, t, random, token, func(ctx context.Context, cl *client.ClientWithResponses) (*client.GetHistoryResponse, error) {
			params := client.GetHistoryParams{Account: a.name, FriendAccount: c.target.User, GroupID: c.target.Group, After: &after, Limit: &limit}
			return cl.GetHistoryWithResponse(ctx, &params)
		})
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", c.key, err)
		}
		messages := page.JSON200.Data.Messages
		if len(messages) == 0 {
			return all, nil
		}
		all = append(all, messages...)
		after = messages[len(messages)-1].Seq
	}
}
