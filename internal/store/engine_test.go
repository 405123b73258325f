package store

import (
	"strings"
	"testing"
	"time"

	"tim/internal/testserver"
)

// Whatever isn't known to be one server of MariaDB or MySQL commits alone.
func TestKindOfServer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version, comment string
		variables        map[string]string
		single, galera   bool
		name             string
	}{
		{"10.11.19-MariaDB-0+deb12u1", "Debian 12", map[string]string{wsrepOn: "OFF"}, true, false, "MariaDB 10.11.19-0+deb12u1"},
		{"5.5.5-10.6.4-MariaDB-1:10.6.4+maria~focal-log", "mariadb.org binary distribution", map[string]string{wsrepOn: "OFF"}, true, false, "MariaDB 10.6.4-1:10.6.4+maria~focal-log"},
		{"11.8.9-MariaDB-log", "MariaDB Server", nil, true, false, "MariaDB 11.8.9-log"},
		{"10.11.19-MariaDB-0+deb12u1", "Debian 12", map[string]string{wsrepOn: "ON"}, false, true, "MariaDB 10.11.19-0+deb12u1"},
		{"10.6.22-18-MariaDB-enterprise-log", "MariaDB Enterprise Server", map[string]string{wsrepOn: "1"}, false, true, "MariaDB 10.6.22-18-enterprise-log"},
		{"9.7.4-2", "(Debian)", nil, true, false, "MySQL 9.7.4-2"},
		{"8.0.44-0ubuntu0.24.04.1", "(Ubuntu)", nil, true, false, "MySQL 8.0.44-0ubuntu0.24.04.1"},
		{"8.4.6", "MySQL Community Server - GPL", nil, true, false, "MySQL 8.4.6"},
		{"8.4.6-commercial", "MySQL Enterprise Server - Commercial", nil, true, false, "MySQL 8.4.6-commercial"},
		{"8.0.42-33", "Percona Server (GPL), Release 33, Revision 9dc49998", nil, true, false, "MySQL 8.0.42-33"},
		{"8.4.6", "MySQL Community Server - GPL", map[string]string{groupReplication: "aaaa"}, false, false, "MySQL 8.4.6 (MySQL Community Server - GPL)"},
		{"8.4.6", "MySQL Community Server - GPL", map[string]string{groupReplication: ""}, true, false, "MySQL 8.4.6"},
		{"8.0.42-33.1", "Percona XtraDB Cluster (GPL), Release rel33", map[string]string{wsrepOn: "ON"}, false, true, "MySQL 8.0.42-33.1"},
		{"8.4.6-Vitess", "Version: 24.0.4 (Git revision  branch) built on  by @ using go1.26", nil, false, false, "Vitess 24.0.4"},
		{"8.4.6-Vitess", "of somebody", nil, false, false, "MySQL 8.4.6-Vitess (of somebody)"},
		{"8.0.11-TiDB-v8.5.0", "TiDB Server (Apache License 2.0)", nil, false, false, "MySQL 8.0.11-TiDB-v8.5.0 (TiDB Server (Apache License 2.0))"},
		{"8.0.28", "TiDB Server (Apache License 2.0) Community Edition", nil, false, false, "MySQL 8.0.28 (TiDB Server (Apache License 2.0) Community Edition)"},
		{"5.7.25-OceanBase-v4.3.5.0", "OceanBase 4.3.5.0", nil, false, false, "MySQL 5.7.25-OceanBase-v4.3.5.0 (OceanBase 4.3.5.0)"},
		{"8.0.39", "Source distribution", map[string]string{auroraVersion: "3.08.0"}, false, false, "MySQL 8.0.39 (Source distribution)"},
		{"8.0.39", "", nil, false, false, "MySQL 8.0.39"},
	} {
		k := kindOf(tt.version, tt.comment, tt.variables)
		if k.single != tt.single || k.galera != tt.galera || k.name != tt.name || k.commitAlone() == tt.single {
			t.Errorf("%s, %s, %v: %+v, %q", tt.version, tt.comment, tt.variables, k, k.name)
		}
		if said := k.String(); !strings.HasPrefix(said, k.name) || strings.Contains(said, "two round trips") != tt.single {
			t.Errorf("%s: %q", tt.version, said)
		}
	}
}

// One MariaDB or MySQL keeps the two round trips of a batch.
func TestOneServerIsKnown(t *testing.T) {
	t.Parallel()
	if d := mysqlAt(t, testserver.Database(t)); !strings.Contains(d.Server(), "one server") {
		t.Errorf("it is said to be %q", d.Server())
	}
}

// A lock's holder is dead when its row stands still for a lease. Looks count only while writes are carried out promptly.
func TestSightings(t *testing.T) {
	t.Parallel()
	s := sightings{seen: map[string]leaseSighting{}}
	now := time.Now()
	for i, tt := range []struct {
		after  time.Duration
		name   string
		holder string
		beat   int64
		slow   bool
		want   time.Duration
	}{
		{0, "migrate", "a", 1, false, 0},
		{2 * time.Second, "migrate", "a", 1, false, 2 * time.Second},
		{time.Second, "sweep", "a", 1, false, 0},
		{time.Second, "migrate", "a", 1, false, 4 * time.Second},
		{time.Second, "migrate", "a", 1, true, 0},
		{9 * time.Second, "migrate", "a", 1, false, 9 * time.Second},
		{time.Second, "migrate", "a", 2, false, 0},
		{time.Second, "migrate", "b", 2, false, 0},
		{time.Minute, "migrate", "b", 2, false, time.Minute},
		{0, "sweep", "a", 1, false, 73 * time.Second},
	} {
		now = now.Add(tt.after)
		if got := s.still(tt.name, leaseSighting{holder: tt.holder, beat: tt.beat, since: now}, tt.slow); got != tt.want {
			t.Errorf("%d: %v, want %v", i, got, tt.want)
		}
	}
	s.forget("migrate")
	if got := s.still("migrate", leaseSighting{holder: "b", beat: 2, since: now.Add(time.Minute)}, false); got != 0 {
		t.Errorf("after a look that failed: %v", got)
	}
}
