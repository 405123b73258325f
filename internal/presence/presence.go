// Package presence knows which accounts are online, on any node, and tells their followers. An account is online while it has
// a chat socket or a connection of tim.v1.
package presence

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"tim/internal/cluster"
	"tim/internal/feed"
)

// Presence is safe for concurrent use.
type Presence struct {
	rooms cluster.Presence
	feed  *feed.Feed
	log   *slog.Logger

	warned atomic.Int64 // when the log last said that presence can't be asked, in ns since 1970
}

// New returns a Presence over the rooms of the cluster.
func New(rooms cluster.Presence, f *feed.Feed, log *slog.Logger) *Presence {
	return &Presence{rooms: rooms, feed: f, log: log}
}

// Room is where an account's sockets of a kind are entered.
type Room string

// ChatRoom is the room of an account's chat sockets. The contract's other sockets need one of them.
func ChatRoom(account string) Room { return Room("u:" + account) }

// DeviceRoom is the room of an account's connections of tim.v1.
func DeviceRoom(account string) Room { return Room("v:" + account) }

// GroupRoom is the room of the group sockets of a group's members.
func GroupRoom(group int32) Room { return Room(fmt.Sprintf("g:%d", group)) }

// Visible is a subscriber of its account's topic that makes the account online.
type Visible interface{ MakesOnline() }

// Enter enters a socket into a room of its account, and tells the followers if the account was offline. While other nodes
// can't be told, they are told later.
func (p *Presence) Enter(ctx context.Context, room Room, account, socket string) {
	first, err := p.rooms.Join(ctx, string(room), account, socket)
	if err != nil {
		p.log.Warn("presence will be told later", "account", account, "err", err)
		return
	}
	if first {
		p.announce(ctx, account)
	}
}

// Leave takes it back, and tells the followers if that took the account offline. last tells whether the account has no
// other socket in the room; an error, which has been logged, means that nobody knows.
func (p *Presence) Leave(ctx context.Context, room Room, account, socket string) (last bool, err error) {
	last, err = p.rooms.Leave(ctx, string(room), account, socket)
	if err != nil {
		p.log.Warn("presence will be told later", "account", account, "err", err)
		return false, fmt.Errorf("leave: %w", err)
	}
	if last {
		p.announce(ctx, account)
	}
	return last, nil
}

// EnterGroup enters a group socket into its group's room. first tells whether it is the account's only one there.
func (p *Presence) EnterGroup(ctx context.Context, group int32, account, socket string) (first bool) {
	first, err := p.rooms.Join(ctx, string(GroupRoom(group)), account, socket)
	if err != nil {
		p.log.Warn("presence will be told later", "group", group, "err", err)
	}
	return first
}

// LeaveGroup takes it back. last tells whether the account has none there any more.
func (p *Presence) LeaveGroup(ctx context.Context, group int32, account, socket string) (last bool) {
	last, err := p.rooms.Leave(ctx, string(GroupRoom(group)), account, socket)
	if err != nil {
		p.log.Warn("presence will be told later", "group", group, "err", err)
	}
	return last
}

// InGroup lists the first limit accounts that have a group socket open, and the number of all.
func (p *Presence) InGroup(ctx context.Context, group int32, limit int) (accounts []string, total int, err error) {
	accounts, total, err = p.rooms.Members(ctx, string(GroupRoom(group)), limit)
	if err != nil {
		return nil, 0, fmt.Errorf("who is online: %w", err)
	}
	return accounts, total, nil
}

// HasChat tells whether an account has a chat socket on any node.
func (p *Presence) HasChat(ctx context.Context, account string) (bool, error) {
	states, err := p.rooms.Online(ctx, []string{string(ChatRoom(account))})
	if err != nil {
		return false, fmt.Errorf("is it online: %w", err)
	}
	return states[0], nil
}

// announceTries bounds how often one call says anew what has changed while it was saying it.
const announceTries = 3

// announce tells an account's followers whether it is online. Another call may announce the opposite at the same time, with
// the older answer of the two. So each call asks again after it has published, and publishes again if the answer has changed.
func (p *Presence) announce(ctx context.Context, account string) {
	online := p.Online(ctx, []string{account})[0]
	for range announceTries {
		p.feed.Publish(&feed.PresenceMoved{Account: account, Online: online})
		now := p.Online(ctx, []string{account})[0]
		if now == online {
			return
		}
		online = now
	}
}

// warnEvery is how often the log says that presence can't be asked: every member of a group asks for it.
const warnEvery = time.Minute

func (p *Presence) warn(err error) {
	now := time.Now().UnixNano()
	if last := p.warned.Load(); now-last >= int64(warnEvery) && p.warned.CompareAndSwap(last, now) {
		p.log.Warn("presence can't be asked; this node's own sockets count", "err", err)
	}
}

// Online tells which accounts are online. While other nodes can't be asked, this node's own sockets count.
func (p *Presence) Online(ctx context.Context, accounts []string) []bool {
	rooms := make([]string, 0, 2*len(accounts))
	for _, account := range accounts {
		rooms = append(rooms, string(ChatRoom(account)), string(DeviceRoom(account)))
	}
	states, err := p.rooms.Online(ctx, rooms)
	online := make([]bool, len(accounts))
	if err != nil {
		p.warn(err)
	}
	for i, account := range accounts {
		if err == nil {
			online[i] = states[2*i] || states[2*i+1]
		} else {
			online[i] = p.here(account)
		}
	}
	return online
}

// here tells whether a socket of this node makes an account online.
func (p *Presence) here(account string) bool {
	for _, s := range p.feed.Subscribers(feed.AccountTopic(account)) {
		if _, ok := s.(Visible); ok {
			return true
		}
	}
	return false
}
