package bench

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"tim/gen/client"
)

const password = "correct horse"

// person is an account with a session.
type person struct {
	account, token string
	url            string
}

// accounts returns people who are registered and logged in; those who were registered in an earlier run are used again.
func (b *bench) accounts(ctx context.Context, n int) ([]*person, error) {
	people := make([]*person, n)
	for i := range people {
		people[i] = &person{account: b.opts.Prefix + strconv.Itoa(i), url: b.site.urls[i%len(b.site.urls)]}
	}
	done := b.progress(fmt.Sprintf("%d accounts are made and logged in", n))
	defer done()
	return people, each(ctx, people, b.opts.Concurrency, b.enter)
}

// enter registers a person and logs it in.
func (b *bench) enter(ctx context.Context, p *person) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	made, err := c.UserRegisterWithResponse(ctx, client.Registration{Account: p.account, Password: password, Username: p.account})
	if err == nil && made.StatusCode() != http.StatusOK && made.StatusCode() != http.StatusConflict {
		err = refusal(made.StatusCode(), made.Body)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", p.account, err)
	}
	in, err := c.UserLoginWithResponse(ctx, client.Credentials{Account: p.account, Password: password})
	if err == nil && in.JSON200 == nil {
		err = refusal(in.StatusCode(), in.Body)
	}
	if err != nil {
		return fmt.Errorf("log in %s: %w", p.account, err)
	}
	data := in.JSON200.Data
	if len(data) != 2 || data[1].Token == nil {
		return fmt.Errorf("log in %s: no token in %s", p.account, in.Body)
	}
	p.token = *data[1].Token
	return nil
}

// on is a client of a person's node.
func (b *bench) on(p *person) (*client.ClientWithResponses, error) {
	return client.NewClientWithResponses(p.url, client.WithHTTPClient(b.http),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			if p.token != "" {
				r.Header.Set("token", p.token)
			}
			return nil
		}))
}

func refusal(status int, body []byte) error { return fmt.Errorf("%d %.300s", status, body) }

// friends makes each pair friends.
func (b *bench) friends(ctx context.Context, pairs [][2]*person) error {
	done := b.progress(fmt.Sprintf("%d pairs are made friends", len(pairs)))
	defer done()
	return each(ctx, pairs, b.opts.Concurrency, func(ctx context.Context, pair [2]*person) error {
		c, err := b.on(pair[0])
		if err != nil {
			return err
		}
		made, err := c.AddFriendWithResponse(ctx, &client.AddFriendParams{UserAccount: pair[0].account, FriendAccount: pair[1].account})
		if err == nil && made.JSON200 == nil {
			err = refusal(made.StatusCode(), made.Body)
		}
		if err != nil {
			return fmt.Errorf("make %s and %s friends: %w", pair[0].account, pair[1].account, err)
		}
		return nil
	})
}

// group returns the number of a new group of the run with these members.
func (b *bench) group(ctx context.Context, name string, members []*person) (int32, error) {
	owner := members[0]
	c, err := b.on(owner)
	if err != nil {
		return 0, err
	}
	made, err := c.CreateGroupWithResponse(ctx, &client.CreateGroupParams{
		CreateUserAccount: owner.account, GroupName: b.opts.Prefix + string(b.run) + name,
	})
	if err == nil && made.JSON200 == nil {
		err = refusal(made.StatusCode(), made.Body)
	}
	if err != nil {
		return 0, fmt.Errorf("make a group: %w", err)
	}
	id := made.JSON200.Data.GroupID
	return id, each(ctx, members[1:], b.opts.Concurrency, func(ctx context.Context, p *person) error { return b.join(ctx, p, id) })
}

func (b *bench) join(ctx context.Context, p *person, id int32) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	answer, err := c.JoinGroupWithResponse(ctx, &client.JoinGroupParams{UserAccount: p.account, GroupID: id})
	if err == nil && answer.JSON200 == nil {
		err = refusal(answer.StatusCode(), answer.Body)
	}
	if err != nil {
		return fmt.Errorf("%s joins a group: %w", p.account, err)
	}
	return nil
}

func (b *bench) leave(ctx context.Context, p *person, id int32) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	answer, err := c.LeaveGroupWithResponse(ctx, &client.LeaveGroupParams{UserAccount: p.account, GroupID: id})
	if err == nil && answer.JSON200 == nil {
		err = refusal(answer.StatusCode(), answer.Body)
	}
	if err != nil {
		return fmt.Errorf("%s leaves a group: %w", p.account, err)
	}
	return nil
}
