package app_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"tim/internal/apptest"
	"tim/internal/fault"
	"tim/internal/testserver"
)

// Database servers answer and can't be used: /readyz says why, and sends are refused as those that may be tried again. Nothing is lost:
// what was acknowledged is there, and what was refused is stored once when it is sent again.
func TestDatabaseAmiss(t *testing.T) {
	t.Parallel()
	cluster := testserver.GaleraCluster(t)
	onMember := func(member *testserver.Server, statement string) {
		t.Helper()
		db, err := sql.Open("mysql", member.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	onEach := func(statement string) func() {
		return func() {
			t.Helper()
			for _, member := range cluster.Members {
				onMember(member, statement)
			}
		}
	}
	onEach("SET GLOBAL wsrep_provider_options = 'evs.suspect_timeout=PT2S'")() // a member that is cut off is missed sooner
	s := start(t, apptest.Embedded, "--mysql-dsn="+cluster.DSN(), "--admin-listen=127.0.0.1:0")
	token := s.enter(t, "am.a")
	s.enter(t, "am.b")
	s.do(t, ask{path: query("/Tim/addFriend", "UserAccount", "am.a", "FriendAccount", "am.b"), token: token})
	unavailable := want{http.StatusServiceUnavailable, fault.Unavailable, "服务暂不可用，请稍后再试", "unavailable; try again later"}
	sent := 0
	message := func() ask {
		return ask{path: "/Tim/sendMessage", token: token, json: fmt.Sprintf(`{"to":{"user":"am.b"},"clientId":"c%d","body":{"kind":"text","text":"m%d"}}`, sent, sent)}
	}
	send := func() {
		t.Helper()
		eventually(t, "a message is sent", func() bool { return s.do(t, message()).status == http.StatusOK })
		sent++
	}
	send()
	for _, amiss := range []struct {
		state      string
		harm, mend func()
	}{
		{"read-only", onEach("SET GLOBAL read_only = 1"), onEach("SET GLOBAL read_only = 0")},
		{"out of its cluster", func() {
			cluster.Isolate(cluster.Members[1])
			cluster.Isolate(cluster.Members[2]) // no part has the majority
		}, func() {
			onEach("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'")() // all at once: it takes all to be a cluster again
			cluster.AwaitSynced(cluster.Members[0])
		}},
	} {
		amiss.harm()
		eventually(t, "readyz says "+amiss.state, func() bool {
			status, states := s.ready(t)
			return status == http.StatusServiceUnavailable && states["database"] == amiss.state
		})
		s.refused(t, message(), unavailable)
		amiss.mend()
		send()
		eventually(t, "it is ready", func() bool { status, _ := s.ready(t); return status == http.StatusOK })
	}
	var history struct {
		Messages []struct {
			Seq  int `json:"seq"`
			Body struct {
				Text string `json:"text"`
			} `json:"body"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(s.do(t, ask{path: query("/Tim/getHistory", "account", "am.a", "FriendAccount", "am.b"), token: token}).Data, &history); err != nil {
		t.Fatal(err)
	}
	for i, m := range history.Messages {
		if m.Seq != i+1 || m.Body.Text != fmt.Sprint("m", i) {
			t.Errorf("message %d is %+v", i+1, m)
		}
	}
	if len(history.Messages) != sent {
		t.Errorf("%d messages are stored, %d were acknowledged", len(history.Messages), sent)
	}
	for _, part := range []string{
		fmt.Sprintf("tim_database_server_fit{server=%q} 1", cluster.Members[0].TCPAddress), "tim_database_server_in_use{server=", "tim_database_failovers_total ",
	} {
		eventually(t, "the metrics have "+part, func() bool { return strings.Contains(s.metrics(t), part) })
	}
}

// metrics returns what Prometheus is told.
func (s *site) metrics(t *testing.T) string {
	t.Helper()
	response, err := http.Get("http://" + s.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
