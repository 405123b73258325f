package testserver

import (
	"strings"
	"testing"

	"tim/internal/servers"
)

const galeraMembers = 3

// Galera returns the DSNs of an empty utf8mb4 database at the three members of a Galera cluster that all tests of this process share.
// The database is dropped when the test ends. The first test that asks waits some 8 s.
func Galera(t testing.TB) (dsns []string) {
	t.Helper()
	shared := &here.galera
	here.asked(t)
	shared.once.Do(func() {
		shared.cluster, shared.err = start(t, func(h *servers.Home) (*servers.Galera, error) { return h.Galera(galeraMembers) })
	})
	if shared.err != nil {
		t.Fatalf("testserver: %v", shared.err)
	}
	name := here.name("tim_")
	dsns, err := shared.cluster.CreateDatabase(name)
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	t.Cleanup(func() {
		if err := shared.cluster.DropDatabase(name); err != nil {
			t.Errorf("testserver: %v; does the test leave a transaction open?", err)
		}
	})
	return dsns
}

// Cluster is a Galera cluster of one test, which may hurt its members. Its methods fail the test when they fail.
type Cluster struct {
	// Members have the DSN of one empty utf8mb4 database, "tim", as their Address. A member's Start needs another one that runs.
	Members []*Server

	t       testing.TB
	cluster *servers.Galera
}

// GaleraCluster starts a Galera cluster of three members for this test alone, which takes some 8 s.
func GaleraCluster(t testing.TB) *Cluster {
	t.Helper()
	cluster, err := start(t, func(h *servers.Home) (*servers.Galera, error) { return h.Galera(galeraMembers) })
	if err != nil {
		t.Fatalf("testserver: %v", err)
	}
	c := &Cluster{t: t, cluster: cluster}
	for _, member := range cluster.Members {
		removeAfter(t, member)
		c.Members = append(c.Members, ofTest(t, member))
	}
	return c
}

// DSN returns the DSN of the database with all members, in their order.
func (c *Cluster) DSN() string {
	addresses := make([]string, 0, len(c.cluster.Members))
	for _, member := range c.cluster.Members {
		addresses = append(addresses, member.TCPAddress)
	}
	return "root@tcp(" + strings.Join(addresses, ",") + ")/tim"
}

// Start starts the members that are down, also when all are.
func (c *Cluster) Start() {
	c.t.Helper()
	c.must(c.cluster.Start())
}

// Isolate cuts a member from the others. Clients reach it.
func (c *Cluster) Isolate(member *Server) {
	c.t.Helper()
	c.must(c.cluster.Isolate(member.server))
}

// Rejoin ends an Isolate, and returns when the member has what it missed.
func (c *Cluster) Rejoin(member *Server) {
	c.t.Helper()
	c.must(c.cluster.Rejoin(member.server))
}

// AwaitSynced returns when a member is in the cluster and has all data.
func (c *Cluster) AwaitSynced(member *Server) {
	c.t.Helper()
	c.must(c.cluster.AwaitSynced(member.server))
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("testserver: %v", err)
	}
}
