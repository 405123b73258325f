package bench

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"tim/internal/client"
)

const password = "correct horse"

// person is an account with a session.
type person struct {
	account, token string
	url            string
}

// accounts returns people who are registered and logged in. Accounts of an earlier run are used again.
func (b *bench) accounts(ctx context.Context, n int) ([]*person, error) {
	people := make([]*person, n)
	for i := range people {
		people[i] = &person{account: b.opts.Prefix + strconv.Itoa(i), url: b.site.urls[i%len(b.site.urls)]}
	}
	done := b.progress(fmt.Sprintf("%d accounts are made and logged in", n))
	defer done()
	return people, each(ctx, people, b.opts.Concurrency, b.enter)
}

// enter registers a person, unless an earlier run has, and logs it in.
func (b *bench) enter(ctx context.Context, p *person) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	if err := c.Register(ctx, p.account, password, p.account); err != nil && !client.RefusedWith(err, http.StatusConflict) {
		return err
	}
	p.token, err = c.LogIn(ctx, p.account, password)
	return err
}

// on returns a client of a person's node.
func (b *bench) on(p *person) (*client.REST, error) { return client.NewREST(p.url, p.token, b.http) }

// friends makes the two of each pair friends.
func (b *bench) friends(ctx context.Context, pairs [][2]*person) error {
	done := b.progress(fmt.Sprintf("%d pairs are made friends", len(pairs)))
	defer done()
	return each(ctx, pairs, b.opts.Concurrency, func(ctx context.Context, pair [2]*person) error {
		c, err := b.on(pair[0])
		if err != nil {
			return err
		}
		return c.Befriend(ctx, pair[0].account, pair[1].account)
	})
}

// group makes a group of this run with these members, the first its owner, and returns its number.
func (b *bench) group(ctx context.Context, name string, members []*person) (int32, error) {
	owner := members[0]
	c, err := b.on(owner)
	if err != nil {
		return 0, err
	}
	id, err := c.CreateGroup(ctx, owner.account, b.opts.Prefix+string(b.run)+name)
	if err != nil {
		return 0, err
	}
	return id, each(ctx, members[1:], b.opts.Concurrency, func(ctx context.Context, p *person) error { return b.join(ctx, p, id) })
}

func (b *bench) join(ctx context.Context, p *person, id int32) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	return c.JoinGroup(ctx, p.account, id)
}

func (b *bench) leave(ctx context.Context, p *person, id int32) error {
	c, err := b.on(p)
	if err != nil {
		return err
	}
	return c.LeaveGroup(ctx, p.account, id)
}
