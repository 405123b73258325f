package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
)

func TestHostsOfADSN(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"u:p@tcp(10.0.0.1:3306,10.0.0.2:3307,10.0.0.3)/tim":   "10.0.0.1:3306 10.0.0.2:3307 10.0.0.3:3306",
		"u:p@tcp(10.0.0.1, 10.0.0.2)/tim?timeout=1s":          "10.0.0.1:3306 10.0.0.2:3306",
		"u:p@tcp(db1.example.org,DB2.example.org:33060)/tim":  "db1.example.org:3306 db2.example.org:33060",
		"u:p@tcp([2001:db8::1]:3306,[2001:db8::2],[::1])/tim": "[2001:db8::1]:3306 [2001:db8::2]:3306 [::1]:3306",
		"u:p@tcp([fe80::1%eth0]:3306,h)/tim":                  "[fe80::1%eth0]:3306 h:3306",
		"u:p,(x)/@y@tcp(h1,h2)/tim":                           "h1:3306 h2:3306", // the password has what separates
		"tcp(h1,h2)/tim":                                      "h1:3306 h2:3306",
		"u@tcp(h)/tim":                                        "h:3306",
		"u@unix(/run/a,b/s.sock)/tim":                         "/run/a,b/s.sock",
		"u@tcp/tim":                                           "127.0.0.1:3306",
		"u@/tim":                                              "127.0.0.1:3306",
	} {
		first, addresses, err := splitHosts(dsn)
		must(t, err)
		config, err := parseDSN(first)
		must(t, err)
		s, err := newHosts(config, addresses)
		must(t, err)
		var got []string
		for _, h := range s.list {
			got = append(got, h.address)
		}
		if text := strings.Join(got, " "); text != want || config.Addr != got[0] || config.DBName != "tim" {
			t.Errorf("%s: %s, the first is %s", dsn, text, config.Addr)
		}
	}
}

func TestBadHosts(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("h,", mostHosts) + "h"
	for list, want := range map[string]string{
		"h1,":                "host 2 of 2: it is empty",
		",h1":                "host 1 of 2: it is empty",
		"h1,,h2":             "host 2 of 3: it is empty",
		"h1, ,h2":            "host 2 of 3: it is empty",
		"h1,:3306":           "host 2 of 2: it has a port and no name",
		"h1,h2:":             "host 2 of 2: its port is no number",
		"h1,h2:0":            "host 2 of 2: its port is no number",
		"h1,h2:65536":        "host 2 of 2: its port is no number",
		"h1,h2:Secret":       "host 2 of 2: its port is no number",
		"h1:Secret":          "host 1 of 1: its port is no number",
		"h1,h1":              "host 2 of 2: it is there twice",
		"h1:3306,H1":         "host 2 of 2: it is there twice",
		"::1,h":              "host 1 of 2: it is an IPv6 address without brackets",
		"h1:3306:h2:3306":    "host 1 of 1: it is an IPv6 address without brackets, or several hosts without commas",
		"h1,[::1":            "host 2 of 2: it isn't like host",
		"h1,[::1]3306":       "host 2 of 2: it isn't like host",
		"h1,[h2]":            "host 2 of 2: it isn't a name or an address",
		"h1 h2":              "host 1 of 1: it isn't a name or an address",
		"h1,user:Secret@h2":  "not of the form user:password@tcp(host:port)/database",
		"h1,unix(/s.sock)":   "host 2 of 2: it isn't a name or an address",
		"h1),tcp(h2":         "host 1 of 2: it isn't a name or an address",
		"h1,tcp(Secret)":     "host 2 of 2: it isn't a name or an address",
		many:                 fmt.Sprintf("%d hosts; at most %d", mostHosts+1, mostHosts),
		"h1;h2:3306":         "host 1 of 1: it isn't a name or an address",
		"h1,h2?x":            "host 2 of 2: it isn't a name or an address",
		"mysql://u:Secret@h": "not of the form user:password@tcp(host:port)/database",
	} {
		d, err := OpenMySQL(within(t, time.Nanosecond), "tim:Secret@tcp("+list+")/tim", 0)
		if err == nil {
			must(t, d.Close())
			t.Errorf("%s opens", list)
			continue
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, err); !strings.Contains(text, want) || strings.Contains(text, "Secret") {
			t.Errorf("%s: %v, want %q", list, err, want)
		}
	}
}

// What servers tell of themselves, and whether they can be used.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	member := func(changes ...string) map[string]string {
		told := map[string]string{
			"wsrep_on": "ON", "wsrep_ready": "ON", "wsrep_cluster_status": "Primary", "wsrep_local_state": "4",
			"wsrep_local_recv_queue": "0", "wsrep_cluster_state_uuid": "c", "read_only": "OFF",
		}
		for change := range slices.Chunk(changes, 2) {
			told[change[0]] = change[1]
		}
		return told
	}
	for name, tt := range map[string]struct {
		told map[string]string
		want verdict
	}{
		"a server that tells nothing": {nil, verdict{}},
		"MySQL":                       {map[string]string{"read_only": "OFF", "super_read_only": "OFF"}, verdict{}},
		"MySQL, read-only":            {map[string]string{"read_only": "ON", "super_read_only": "OFF"}, verdict{err: ErrReadOnly}},
		"MySQL, super read-only":      {map[string]string{"read_only": "OFF", "super_read_only": "ON"}, verdict{err: ErrReadOnly}},
		"MariaDB 10":                  {map[string]string{"read_only": "OFF", "wsrep_on": "OFF"}, verdict{}},
		"MariaDB 12, read-only":       {map[string]string{"read_only": "NO_LOCK_NO_ADMIN", "wsrep_on": "OFF"}, verdict{err: ErrReadOnly}},
		"TiDB":                        {map[string]string{"read_only": "0"}, verdict{}},
		"a member":                    {member(), verdict{cluster: "c"}},
		"a member that isn't ready":   {member("wsrep_ready", "OFF"), verdict{err: ErrOutOfCluster, cluster: "c"}},
		"a member of a minority":      {member("wsrep_cluster_status", "non-Primary"), verdict{err: ErrOutOfCluster, cluster: "c"}},
		"a member without a cluster":  {member("wsrep_cluster_status", "Disconnected", "wsrep_ready", "OFF"), verdict{err: ErrOutOfCluster, cluster: "c"}},
		"a member that joins":         {member("wsrep_local_state", "1"), verdict{err: ErrBehind, cluster: "c"}},
		"a member that has joined":    {member("wsrep_local_state", "3"), verdict{err: ErrBehind, cluster: "c"}},
		"a donor":                     {member("wsrep_local_state", "2"), verdict{donor: true, cluster: "c"}},
		"a member with a short queue": {member("wsrep_local_recv_queue", "1000"), verdict{cluster: "c"}},
		"a member with a long queue":  {member("wsrep_local_recv_queue", "1001"), verdict{err: ErrBehind, cluster: "c"}},
		"a donor with a long queue":   {member("wsrep_local_state", "2", "wsrep_local_recv_queue", "50000"), verdict{err: ErrBehind, donor: true, cluster: "c"}},
		"a member, read-only":         {member("read_only", "ON"), verdict{err: ErrReadOnly, cluster: "c"}},
		"a read-only one that is out": {member("read_only", "ON", "wsrep_ready", "OFF"), verdict{err: ErrOutOfCluster, cluster: "c"}},
	} {
		got := verdictOf(tt.told)
		if !errors.Is(got.err, tt.want.err) || got.donor != tt.want.donor || got.cluster != tt.want.cluster {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
		if got.err != nil && !IsUnavailable(got.err) {
			t.Errorf("%s: the error isn't one of a database that can't be asked", name)
		}
	}
}

// Which host is in use after each look. A look is written as seconds, host and what it shows: + fit, - no answer, o out of the
// cluster, d donor, x another cluster.
func TestWhichHostIsInUse(t *testing.T) {
	t.Parallel()
	shows := map[byte]verdict{
		'+': {cluster: "c"}, '-': {err: errNoAnswer}, 'o': {err: ErrOutOfCluster, cluster: "c"}, 'd': {donor: true, cluster: "c"}, 'x': {cluster: "x"},
	}
	for name, tt := range map[string]struct {
		looks     string
		want      string // the host in use after each look; - for none
		failovers int64
	}{
		"all are fit":                     {"0a+ 0b+ 0c+ 1b+ 1a+ 1c+", "aaaaaa", 0},
		"the second answers first":        {"0b+ 0a+ 0c+", "baa", 1},
		"the first dies":                  {"0a+ 0b+ 0c+ 1a- 2a- 3b+", "aaabbb", 1},
		"the first dies and comes back":   {"0a+ 0b+ 0c+ 1a- 2a+ 3a+ 6a+ 7a+ 8a+", "aaabbbbaa", 2},
		"the first comes and goes":        {"0a+ 0b+ 1a- 2a+ 6a+ 6a- 7a+ 11a+ 12a+", "aabbbbbba", 2},
		"all die, the last comes first":   {"0a+ 0b+ 0c+ 1a- 1b- 1c- 2c+ 3a+ 4c+ 7c+ 8a+", "aaabc-cccca", 4},
		"the one that is left, and again": {"0a+ 0b- 1a- 2a+ 3a- 4b+", "aa-a-b", 2},
		"a donor is used at need":         {"0a+ 0b+ 1ad 1b- 2b+ 3a+", "aababa", 4},
		"a member that is out":            {"0a+ 0b+ 1ao 2a+ 7a+", "aabba", 2},
		"a member of another cluster":     {"0a+ 0b+ 0cx 1a- 2b- 3cx 4a+", "aaab--a", 2},
	} {
		config, err := parseDSN("u@tcp(a)/tim")
		must(t, err)
		s, err := newHosts(config, []string{"a", "b", "c"})
		must(t, err)
		s.begun, s.cluster = true, "c"
		begin := time.Now()
		var got []byte
		for look := range strings.FieldsSeq(tt.looks) {
			seconds, rest := look[:len(look)-2], look[len(look)-2:]
			after, err := time.ParseDuration(seconds + "s")
			must(t, err)
			s.judge(s.list[rest[0]-'a'], shows[rest[1]], begin.Add(after))
			now := byte('-')
			if h := s.inUse.Load(); h != nil {
				now = h.address[0]
			}
			got = append(got, now)
		}
		if diff := cmp.Diff(tt.want, string(got)); diff != "" || s.failovers.Load() != tt.failovers {
			t.Errorf("%s: %d failovers %s", name, s.failovers.Load(), diff)
		}
	}
}

// An answer that tells nothing of a server changes nothing: neither that it works nor in which cluster it is.
func TestUnclearAnswersChangeNothing(t *testing.T) {
	t.Parallel()
	config, err := parseDSN("root@tcp(a:1)/tim")
	must(t, err)
	for _, tt := range []struct {
		number  uint16
		message string
		fit     bool
	}{
		{1040, "Too many connections", true},
		{1203, "User root already has more than 'max_user_connections' active connections", true},
		{1226, "User 'tim' has exceeded the 'max_connections_per_hour' resource", true},
		{1064, "You have an error in your SQL syntax", true},
		{1105, "unknown error", true},
		{1105, "target: tim.-80.primary: no healthy tablet available", false},
		{1047, "WSREP has not yet prepared node for application use", false},
		{1045, "Access denied", false},
	} {
		s, err := newHosts(config, []string{"a:1", "b:1"})
		must(t, err)
		now := time.Now()
		for _, h := range s.list {
			s.judge(h, verdict{cluster: "c"}, now)
		}
		if !s.use(s.list[0]) {
			t.Fatal("a fit host isn't used")
		}
		answer := unanswered(&mysql.MySQLError{Number: tt.number, Message: tt.message})
		s.judge(s.list[0], answer, now)
		if fit := s.inUse.Load() == s.list[0]; fit != tt.fit {
			t.Errorf("%d, %s: in use %v, %v", tt.number, tt.message, fit, s.list[0].health.err)
		}
		first, err := newHosts(config, []string{"a:1", "b:1"})
		must(t, err)
		first.judge(first.list[0], answer, now)
		if isCrowded(tt.number) && first.use(first.list[0]) {
			t.Errorf("%d: a server that nobody has reached yet is used", tt.number)
		}
	}
}
