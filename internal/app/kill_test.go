package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/apptest"
)

// A server that was killed in the middle of sending has every echoed message, once and in order, after its restart. It also has
// sessions, members and marks.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, mode := range apptest.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, mode)
			p := spawn(t, settings)
			tokens := map[string]string{}
			senders := []string{"ki.a", "ki.b", "ki.c", "ki.d"}
			for _, account := range append(slices.Clone(senders), "ki.away") {
				tokens[account] = p.enter(t, account)
			}
			group := p.createGroup(t, tokens["ki.a"], "ki.a", "ki")
			for _, account := range append(senders[1:], "ki.away") {
				join := ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", account, "GroupID", encodeJSON(t, group)), token: tokens[account]}
				p.succeedsOnce(t, join, "加入群聊成功")
			}
			heard := p.sendUntilKilled(t, tokens, senders, group)

			p = spawn(t, settings)
			p.friends(t, tokens["ki.a"], "ki.a") // the session survives
			p.openChat(t, "ki.a", tokens["ki.a"])
			sender := openGroup(t, p.URL, group, "ki.a", tokens["ki.a"])
			sender.write(t, "end")
			p.openChat(t, "ki.away", tokens["ki.away"])
			stored := readUntilEnd(t, openGroup(t, p.URL, group, "ki.away", tokens["ki.away"]))
			checkStored(t, stored, heard)
		})
	}
}

// enough is the number of echoes that one sender has received when the server is killed. All senders still send then.
const enough = 200

// sendUntilKilled lets all accounts write numbered messages as fast as they are accepted, kills the server in the middle, and
// returns the echoes that each has received.
func (p *process) sendUntilKilled(t *testing.T, tokens map[string]string, senders []string, group int32) map[string]*echoes {
	t.Helper()
	heard := map[string]*echoes{}
	sockets := map[string]*socket{}
	for _, account := range senders {
		p.openChat(t, account, tokens[account])
		sockets[account] = openGroup(t, p.URL, group, account, tokens[account])
		heard[account] = &echoes{}
	}
	middle := make(chan struct{}, len(senders))
	var running sync.WaitGroup
	for account, c := range sockets {
		running.Go(func() {
			var err error
			for i := 0; err == nil; i++ {
				err = c.WriteMessage(websocket.TextMessage, []byte(strconv.Itoa(i)))
			}
		})
		running.Go(func() {
			for {
				m, err := c.nextMessage()
				if err != nil {
					return
				}
				if heard[account].add(m) == enough {
					middle <- struct{}{}
				}
			}
		})
	}
	<-middle
	p.kill(t)
	running.Wait()
	return heard
}

func readUntilEnd(t *testing.T, c *socket) []string {
	t.Helper()
	var stored echoes
	for {
		m := c.readMessage(t)
		if m.Message == "end" {
			return stored.seen
		}
		stored.add(m)
	}
}

// checkStored compares the messages of a member that was away with the senders' echoes.
func checkStored(t *testing.T, stored []string, heard map[string]*echoes) {
	t.Helper()
	next := map[string]int{}
	for _, text := range stored { // each sender's numbers are 0, 1, 2 …: none twice, none missing, all in order
		var sender string
		var number int
		if _, err := fmt.Sscan(text, &sender, &number); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if number != next[sender] {
			t.Fatalf("of %s came %d, want %d", sender, number, next[sender])
		}
		next[sender]++
	}
	for account, e := range heard { // all heard the same messages in the same order from the beginning
		if len(e.seen) > len(stored) || !slices.Equal(e.seen, stored[:len(e.seen)]) {
			t.Errorf("%s had heard %d messages, which are not the first of the %d stored", account, len(e.seen), len(stored))
		}
	}
	t.Logf("%d messages stored, by sender %v", len(stored), next)
}
