package realtime_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"tim/internal/testserver"
)

// BenchmarkCatchUp is what a node does when the bus may have lost something: with 5,000 idle connections of tim.v1, each
// of an account of its own that has 10 groups. It needs some 10,100 open files.
func BenchmarkCatchUp(b *testing.B) {
	const accounts, groups = 5000, 10
	dsn := testserver.Database(b)
	n := startNode(b, setup{dsn: dsn})
	database, err := sql.Open("mysql", dsn)
	must(b, err)
	defer database.Close()
	names := make([]string, accounts)
	for i := range names {
		names[i] = fmt.Sprintf("account%d", i)
	}
	n.users(names...)
	seats := make([]string, 0, accounts*groups)
	sides := make([]string, 0, accounts*groups)
	conversations := make([]string, accounts)
	for i := range accounts { // account i is in the groups from i on
		conversations[i] = fmt.Sprintf("('g%d', 7, 0)", i+1)
		for j := range groups {
			group := (i+j)%accounts + 1
			seats = append(seats, fmt.Sprintf("(%d, '%s', 0)", group, names[i]))
			sides = append(sides, fmt.Sprintf("('%s', 'g%d', %d, 0, 0, 0, 0)", names[i], group, group))
		}
	}
	insert(b, database, "conversation (id, last_seq, created_at)", conversations)
	insert(b, database, "userofgroup (GroupID, account, joined_at)", seats)
	insert(b, database, "participant (account, conversation, group_id, joined_seq, delivered_seq, received_seq, read_seq)", sides)
	idle(b, n, names)

	before := questions(b, database)
	for b.Loop() {
		n.hub.CatchUp(b.Context())
	}
	b.ReportMetric(float64(questions(b, database)-before-1)/float64(b.N), "statements/op")
}

func insert(b *testing.B, database *sql.DB, into string, rows []string) {
	b.Helper()
	for len(rows) > 0 {
		page := rows[:min(len(rows), 1000)]
		rows = rows[len(page):]
		_, err := database.ExecContext(b.Context(), "INSERT INTO "+into+" VALUES "+strings.Join(page, ", "))
		must(b, err)
	}
}

// idle opens a synced connection of tim.v1 for each account.
func idle(b *testing.B, n *node, accounts []string) {
	b.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{subprotocols}, ReadBufferSize: 256, WriteBufferSize: 256}
	for _, account := range accounts {
		c, response, err := dialer.DialContext(context.WithoutCancel(b.Context()), "ws"+strings.TrimPrefix(n.url, "http")+"/websocket",
			http.Header{"token": {n.tokens[account]}})
		must(b, err)
		must(b, response.Body.Close())
		b.Cleanup(func() { _ = c.Close() })
		must(b, c.WriteMessage(websocket.TextMessage, []byte(`{"type":"sync","id":"s"}`)))
		for range 2 {
			_, _, err := c.ReadMessage()
			must(b, err)
		}
	}
}

// questions is how many statements the server has been asked.
func questions(b testing.TB, database *sql.DB) (n int) {
	b.Helper()
	var name string
	must(b, database.QueryRowContext(b.Context(), "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n))
	return n
}
