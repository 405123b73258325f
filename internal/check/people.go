package check

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tim/gen/api"
	"tim/internal/client"
)

// account is an account with its clients.
type account struct {
	name           string
	conversations  []conversation
	devices        []*device       // of tim.v1
	contractClient *contractClient // of the contract's sockets; may be nil
}

// conversation is a conversation as an account names it. key is the same for all its accounts.
type conversation struct {
	key    string
	target api.Target
}

func direct(a, b string) conversation {
	pair := []string{a, b}
	slices.Sort(pair)
	return conversation{key: directKey(pair[0], pair[1]), target: api.Target{User: &b}}
}

func directKey(a, b string) string {
	if a > b {
		a, b = b, a
	}
	return "d:" + a + "|" + b
}

func groupKey(id int32) string { return "g:" + strconv.Itoa(int(id)) }

// group is a group; guests are members from time to time.
type group struct {
	conversation
	owner  *account
	guests []*account
}

// populate makes the accounts, friendships, groups and clients.
func (t *trial) populate(ctx context.Context) error {
	random := t.random("populate")
	modern := max(6, t.opts.Accounts)
	contract := max(2, modern/2)
	for i := range modern + contract {
		a := &account{name: "m" + strconv.Itoa(i)}
		if i >= modern {
			a.name = "k" + strconv.Itoa(i-modern)
		}
		if err := t.register(ctx, random, a); err != nil {
			return err
		}
		t.accounts = append(t.accounts, a)
	}
	m, k := t.accounts[:modern], t.accounts[modern:]
	for i, a := range m {
		for _, b := range []*account{m[(i+1)%modern], m[(i+2)%modern]} {
			if err := t.befriend(ctx, random, a, b, true); err != nil {
				return err
			}
		}
	}
	for i := 0; i+1 < contract; i += 2 {
		if err := t.befriend(ctx, random, k[i], k[i+1], true); err != nil {
			return err
		}
	}
	if err := t.makeGroups(ctx, random, m, k); err != nil {
		return err
	}
	t.equip(m, k)
	return nil
}

func (t *trial) register(ctx context.Context, random *rand.Rand, a *account) error {
	err := t.retry(ctx, random, "", func(ctx context.Context, c *client.REST) error {
		return c.Register(ctx, a.name, password, "The "+a.name)
	})
	if err != nil && !client.RefusedWith(err, http.StatusConflict) { // the answer to an earlier attempt was lost
		return err
	}
	return nil
}

// befriend makes two accounts friends, and, with chat, lets them write to each other.
func (t *trial) befriend(ctx context.Context, random *rand.Rand, a, b *account, chat bool) error {
	token, err := t.logIn(ctx, random, a.name)
	if err != nil {
		return err
	}
	err = t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error { return c.Befriend(ctx, a.name, b.name) })
	if err != nil {
		return err
	}
	if chat {
		a.conversations = append(a.conversations, direct(a.name, b.name))
		b.conversations = append(b.conversations, direct(b.name, a.name))
	}
	return nil
}

// makeGroups makes four groups: one with members on tim.v1 and on the contract's sockets, one on tim.v1 alone, a small one, and one
// whose guests join and leave.
func (t *trial) makeGroups(ctx context.Context, random *rand.Rand, m, k []*account) error {
	var even, odd []*account
	for i, a := range m {
		if i%2 == 0 {
			even = append(even, a)
		} else {
			odd = append(odd, a)
		}
	}
	guests := []*account{m[3], m[4], k[1]}
	for _, g := range []struct {
		members, guests []*account
	}{
		{members: append(even, k...)},
		{members: odd},
		{members: m[:5]},
		{members: []*account{m[0], m[1], m[2], k[0]}, guests: guests},
	} {
		if err := t.makeGroup(ctx, random, g.members, g.guests); err != nil {
			return err
		}
	}
	for _, guest := range guests {
		if err := t.befriend(ctx, random, m[0], guest, false); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) makeGroup(ctx context.Context, random *rand.Rand, members, guests []*account) error {
	name := "group " + strconv.Itoa(len(t.groups)+1)
	var id int32
	for i, a := range members {
		token, err := t.logIn(ctx, random, a.name)
		if err != nil {
			return err
		}
		if i == 0 {
			id, err = t.createGroup(ctx, random, token, a.name, name)
		} else {
			err = t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error { return c.JoinGroup(ctx, a.name, id) })
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, a.name, err)
		}
	}
	g := &group{conversation: conversation{key: groupKey(id), target: api.Target{Group: &id}}, owner: members[0], guests: guests}
	for _, a := range slices.Concat(members, guests) {
		a.conversations = append(a.conversations, g.conversation)
	}
	t.groups = append(t.groups, g)
	return nil
}

func (t *trial) createGroup(ctx context.Context, random *rand.Rand, token, owner, name string) (id int32, err error) {
	err = t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error {
		id, err = c.CreateGroup(ctx, owner, name)
		return err
	})
	return id, err
}

// equip makes the clients. Every second account on tim.v1 has two devices.
func (t *trial) equip(m, k []*account) {
	for i, a := range m {
		for n := range 2 - i%2 {
			a.devices = append(a.devices, t.newDevice(a, fmt.Sprintf("%s#%d", a.name, n+1)))
		}
	}
	for _, a := range k {
		a.contractClient = t.newContractClient(a)
	}
}

const churnEvery = 1500 * time.Millisecond

// churn adds and removes guests until talking ends. It finishes what it has begun.
func (t *trial) churn(talking, living context.Context) {
	random := t.random("churn")
	inside := make(map[*account]bool)
	token := ""
	for sleep(talking, nil, randomAround(random, churnEvery)) {
		g := t.groups[len(t.groups)-1]
		guest := g.guests[random.IntN(len(g.guests))]
		var err error
		if token == "" {
			if token, err = t.logIn(living, random, g.owner.name); err != nil {
				continue // the next round tries again
			}
		}
		if inside[guest] {
			err = t.remove(living, random, token, g, guest)
		} else {
			err = t.admit(living, random, token, g, guest)
		}
		if err == nil {
			inside[guest] = !inside[guest]
		} else {
			t.results.violation(fmt.Sprintf("the owner could not change the group: %v", err))
		}
	}
}

func (t *trial) admit(ctx context.Context, random *rand.Rand, token string, g *group, guest *account) error {
	return t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error {
		return c.AddMember(ctx, g.owner.name, *g.target.Group, guest.name)
	})
}

// remove removes a guest, and notes when that was answered: nothing more may arrive from then on. A refusal because the guest is no
// member means that an earlier request was carried out and its answer was lost.
func (t *trial) remove(ctx context.Context, random *rand.Rand, token string, g *group, guest *account) error {
	err := t.retry(ctx, random, token, func(ctx context.Context, c *client.REST) error {
		return c.RemoveMember(ctx, g.owner.name, *g.target.Group, guest.name)
	})
	if err != nil && !client.RefusedWith(err, http.StatusConflict) && !client.RefusedWith(err, http.StatusNotFound) {
		return err
	}
	t.results.removed(guest.name, g.key)
	return nil
}
