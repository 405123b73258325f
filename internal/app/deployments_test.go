package app_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tim/internal/app"
	"tim/internal/apptest"
	"tim/internal/store"
	"tim/internal/testserver"
)

// askRedis sends one command and returns the texts of the answer.
func askRedis(t testing.TB, address, command string) (texts []string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	head, err := r.ReadString('\n')
	if err != nil || head[0] != '*' {
		t.Fatalf("%s: %v %q", command, err, head)
	}
	n, err := strconv.Atoi(strings.TrimSpace(head[1:]))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		_, err := r.ReadString('\n')
		text, err2 := r.ReadString('\n')
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, strings.TrimSpace(text))
	}
	return texts
}

// Two deployments side by side on one Redis hear nothing of each other, although they have the same accounts, groups and key.
func TestDeploymentsSideBySide(t *testing.T) {
	t.Parallel()
	for kind, redis := range map[string]func(testing.TB) string{"standalone": testserver.Redis, "cluster": testserver.RedisCluster} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			urls := redis(t)
			var sites [2]*site
			var tokens [2]string
			var sockets, modern [2]*socket
			for i := range sites {
				s := start(t, apptest.Servers, "--redis-url="+urls)
				sites[i], tokens[i] = s, s.enter(t, "si.a")
				b := s.enter(t, "si.b")
				s.befriend(t, tokens[i], "si.a", "si.b")
				group := s.createGroup(t, tokens[i], "si.a", "si")
				s.succeedsOnce(t, ask{method: http.MethodPost, path: query("/Tim/joinGroup", "UserAccount", "si.b", "GroupID", fmt.Sprint(group)), token: b}, "加入群聊成功")
				s.openChat(t, "si.a", tokens[i])
				sockets[i] = openGroup(t, s.URL, group, "si.a", tokens[i])
				modern[i] = openModern(t, s.URL, tokens[i])
				modern[i].write(t, `{"type":"sync","id":"1"}`)
				modern[i].readType(t, "synced")
				if i == 0 { // b is online in the first deployment alone
					s.openChat(t, "si.b", b)
				}
			}
			eventually(t, "presence in the first deployment", func() bool { return onlineIn(t, sites[0], "si.a", tokens[0]) })
			if onlineIn(t, sites[1], "si.a", tokens[1]) {
				t.Error("one deployment shows who is online in the other")
			}
			for i, s := range sockets {
				s.write(t, fmt.Sprintf("said in %d", i))
			}
			for i, s := range sockets {
				want := fmt.Sprintf("said in %d", i)
				if got := s.readMessage(t); got.Message != want {
					t.Errorf("deployment %d: a group's socket reads %q", i, got.Message)
				}
				if got := modern[i].readType(t, "message"); !strings.Contains(got, want) {
					t.Errorf("deployment %d: tim.v1 reads %s", i, got)
				}
			}
			if _, errs, err := tim(t, sites[0].Settings, "a new password\n", "passwd", "si.a"); err != nil {
				t.Fatalf("passwd: %v %s", err, errs)
			}
			eventually(t, "the sessions end in the first deployment", func() bool {
				return sites[0].do(t, ask{path: query("/Tim/getFriends", "account", "si.a"), token: tokens[0]}).Reason == "session_ended"
			})
			sites[1].friends(t, tokens[1], "si.a")
			checkNames(t, strings.Split(urls, ","))
		})
	}
}

// onlineIn reports whether an account's chat socket is told that si.b is online.
func onlineIn(t testing.TB, s *site, account, token string) bool {
	t.Helper()
	c := dial(t, s.URL, "/websocket/"+account, token)
	defer c.close(t)
	c.read(t)
	return strings.Contains(c.read(t), "si.b")
}

// checkNames checks that all keys and channels have the names of one of two deployments.
func checkNames(t *testing.T, addresses []string) {
	t.Helper()
	form, seen := regexp.MustCompile(`^tim:([0-9a-f]{32}):\{\d+\}`), map[string]int{}
	for _, address := range addresses {
		commands := []string{"KEYS *", "PUBSUB CHANNELS *"}
		if len(addresses) > 1 {
			commands[1] = "PUBSUB SHARDCHANNELS *"
		}
		for _, command := range commands {
			for _, name := range askRedis(t, address, command) {
				found := form.FindStringSubmatch(name)
				if found == nil {
					t.Errorf("%s: %s", command, name)
					continue
				}
				seen[found[1]]++
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("names of %d deployments: %v", len(seen), seen)
	}
}

// A node that doesn't fit those that run on its database doesn't start, and says which setting it is. When the others have ended, it
// starts. The same holds for a command that would tell the nodes.
func TestNodesThatDiffer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, second func(*app.Settings)
		want          error
		says          string
		command       bool
	}{
		"another key": {
			second: func(s *app.Settings) { s.JWTKey = "0123456789 another key of 32 bytes or more" },
			want:   store.ErrOtherKey, says: "TIM_JWT_KEY",
		},
		"another Redis": {
			second: func(s *app.Settings) { s.RedisURL = testserver.Redis(t) },
			want:   store.ErrOtherRedis, says: "TIM_REDIS_URL", command: true,
		},
		"another database of the same Redis": {
			second: func(s *app.Settings) { s.RedisURL += "/1" },
			want:   store.ErrOtherRedis, says: "TIM_REDIS_URL", command: true,
		},
		"no Redis beside Redis": {
			second: func(s *app.Settings) { s.RedisURL = "" },
			want:   store.ErrNodesShare, says: "TIM_REDIS_URL", command: true,
		},
		"Redis beside no Redis": {
			first: func(s *app.Settings) { s.RedisURL = "" },
			want:  store.ErrNodeAlone, says: "TIM_REDIS_URL", command: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := apptest.Settings(t, apptest.Servers)
			first, second := settings, settings
			first.DataDir, second.DataDir = t.TempDir(), t.TempDir()
			if tt.first != nil {
				tt.first(&first)
			}
			if tt.second != nil {
				tt.second(&second)
			}
			running := serve(t, first)
			running.enter(t, "di.a")
			begun := time.Now()
			if server, err := app.Start(t.Context(), second, quiet()); err == nil {
				t.Fatalf("it started: %v", server.Stop(t.Context()))
			} else if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 40*time.Second {
				t.Errorf("refused after %v", took)
			}
			_, errs, err := tim(t, second, "a new password\n", "passwd", "di.a")
			if refused := err != nil; refused != tt.command || refused && !strings.Contains(errs, tt.says) {
				t.Errorf("passwd: %v %s", err, errs)
			}
			running.Shutdown(t)
			serve(t, second).enter(t, "di.b")
		})
	}
}
