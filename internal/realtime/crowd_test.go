package realtime_test

import (
	"database/sql"
	"slices"
	"testing"

	"tim/internal/chat"
	"tim/internal/testserver"
)

// A message that the bus has lost is not a question for each of its readers.
func TestLostMessageOfManyReaders(t *testing.T) {
	t.Parallel()
	server := testserver.DatabaseServer(t)
	n := startNode(t, setup{dsn: server.Address})
	n.users("alice", "bob")
	group := n.group("alice", "bob")
	to := chat.ToGroup(int32(group))
	before, err := n.service.LastSeq(t.Context(), to.Conversation(""))
	must(t, err)
	readers := make([]*device, 200)
	for i := range readers {
		readers[i] = n.deviceWith("bob", options{unchecked: true})
		readers[i].has[who{Group: group}] = before
		readers[i].sync()
	}
	silent, _ := n.quietly()
	database, err := sql.Open("mysql", server.Address)
	must(t, err)
	defer database.Close()
	statements := questions(t, database)
	const losses = 5
	want := []string(nil)
	for i := range losses {
		_, err = silent.Send(t.Context(), "alice", to, chat.TextContent("lost"), "")
		must(t, err)
		n.say("alice", to, "heard") // so they notice
		want = append(want, "lost", "heard")
		for _, r := range readers {
			r.upTo(who{Group: group}, before+int64(2*i+2))
		}
	}
	asked := questions(t, database) - statements
	t.Logf("%d statements", asked)
	if asked > losses*40 {
		t.Errorf("%d statements for %d lost messages of %d readers", asked, losses, len(readers))
	}
	for _, r := range readers {
		if got := r.texts[who{Group: group}]; !slices.Equal(got, want) {
			t.Fatalf("got %q", got)
		}
	}
}
