package app_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// atOnce sends requests at the same time and counts the answers by status.
func (s *site) atOnce(t *testing.T, asks []ask) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var running sync.WaitGroup
	counts := map[int]int{}
	for _, a := range asks {
		running.Go(func() {
			response, err := s.send(t, a)
			if err != nil {
				t.Errorf("%s: %v", a.path, err)
				return
			}
			defer response.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			counts[response.StatusCode]++
		})
	}
	running.Wait()
	return counts
}

// Of requests for the same thing at the same time one succeeds, and none gets an internal error.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		const n = 12
		repeat := func(a func(i int) ask) []ask {
			asks := make([]ask, n)
			for i := range asks {
				asks[i] = a(i)
			}
			return asks
		}
		diff(t, "registrations", map[int]int{http.StatusOK: 1, http.StatusConflict: n - 1}, s.atOnce(t, repeat(func(int) ask {
			return ask{path: "/Tim/UserRegister", json: registration(t, "ao.same", nil)}
		})))
		accounts, tokens := make([]string, n), make([]string, n)
		for i := range n {
			accounts[i] = fmt.Sprintf("ao.%d", i)
			tokens[i] = s.enter(t, accounts[i])
		}
		diff(t, "groups of one name", map[int]int{http.StatusOK: 1, http.StatusConflict: n - 1}, s.atOnce(t, repeat(func(i int) ask {
			return ask{method: http.MethodPost, path: query("/Tim/createGroup", "CreateUserAccount", accounts[i], "GroupName", "ao"), token: tokens[i]}
		})))
		group := s.createGroup(t, tokens[0], accounts[0], "ao all")
		members := func(route string, i int) ask {
			return ask{method: http.MethodPost, path: query(route, "UserAccount", accounts[i], "GroupID", fmt.Sprint(group)), token: tokens[i]}
		}
		everyone := map[int]int{http.StatusOK: n}
		diff(t, "joining, one account twice", everyone, s.atOnce(t, repeat(func(i int) ask { return members("/Tim/joinGroup", i/2) })))
		diff(t, "joining", everyone, s.atOnce(t, repeat(func(i int) ask { return members("/Tim/joinGroup", i) })))
		diff(t, "leaving", everyone, s.atOnce(t, repeat(func(i int) ask { return members("/Tim/leaveGroup", i) })))
		if owner := s.ownerOf(t, group); owner != "" {
			t.Errorf("a group that all have left is owned by %q", owner)
		}
		friends := func(route string) func(i int) ask { // each befriends the next and the one before at once
			return func(i int) ask {
				other := accounts[(i+1)%n]
				if i%2 == 1 {
					other = accounts[i-1]
				}
				return ask{path: query(route, "UserAccount", accounts[i], "FriendAccount", other), token: tokens[i]}
			}
		}
		diff(t, "befriending", everyone, s.atOnce(t, repeat(friends("/Tim/addFriend"))))
		diff(t, "unfriending", everyone, s.atOnce(t, repeat(friends("/Tim/deleteFriend"))))
		if list := s.friends(t, tokens[0], accounts[0]); len(list) != 0 {
			t.Errorf("friends in the end: %+v", list)
		}
		logouts := s.atOnce(t, repeat(func(int) ask { return ask{path: "/Tim/UserLogout", token: tokens[0]} }))
		if logouts[http.StatusOK] == 0 || logouts[http.StatusOK]+logouts[http.StatusUnauthorized] != n {
			t.Errorf("logouts: %v", logouts)
		}
	})
}
