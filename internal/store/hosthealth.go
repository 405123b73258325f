package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// The reasons for which a server of the database can't be used although it answers. IsUnavailable holds for each.
var (
	// ErrOutOfCluster says that a member of a Galera cluster isn't in the part of the cluster that goes on.
	ErrOutOfCluster = errors.New("the database server is out of its cluster")
	// ErrOtherCluster says that a server has other data than the one before: it is a member of another cluster, or of none.
	ErrOtherCluster = errors.New("the database server isn't in the cluster that was used before; if that is right, start tim again")
	// ErrReadOnly says that a server is read-only.
	ErrReadOnly = errors.New("the database server is read-only")
	// ErrBehind says that a member of a Galera cluster has yet to apply what others have committed.
	ErrBehind = errors.New("the database server is behind its cluster")
	// errNoAnswer says that a server can't be reached, or refuses the login.
	errNoAnswer = errors.New("the database server can't be asked")
)

const (
	lookEvery  = time.Second
	lookWithin = 2 * time.Second        // how long a host may take to answer a look
	lookAgain  = 250 * time.Millisecond // while no host is fit
	lookGap    = 100 * time.Millisecond // between two looks at a host, whatever connections tell of it
	// mostBehind is how many transactions of others a member may have yet to apply. Galera slows the cluster down at 16 by its
	// defaults, except for a member that was taken out of step on purpose.
	mostBehind = 1000
)

// verdict is what a look at a server has shown.
type verdict struct {
	err     error  // why it can't be used; nil if it can
	donor   bool   // it hands its data to another member of its cluster
	cluster string // the id of its cluster; "" if it is in none
	unclear bool   // the answer tells nothing new: what was known before still holds
}

// impatient makes the connections for looking at a host. They wait for nothing of a cluster, also where the server makes others wait.
type impatient struct{ driver.Connector }

func (i impatient) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := i.Connector.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // database/sql compares it
	}
	if full, ok := conn.(driver.ExecerContext); ok {
		// Servers other than MariaDB don't know the variable.
		if _, err := full.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 0", nil); err != nil && mysqlNumber(err) == 0 {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// watch looks at every host from now on, each by a goroutine of its own, until close.
func (s *hosts) watch(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, h := range s.list {
		s.running.Go(func() { h.watch(ctx) })
	}
}

// watched reports whether anybody looks at the hosts.
func (s *hosts) watched() bool {
	for _, h := range s.list {
		select {
		case <-h.looked:
			return true
		default:
		}
	}
	return false
}

// lookSoon asks for a look at the host at once.
func (h *host) lookSoon() {
	select {
	case h.asked <- struct{}{}:
	default: // it is due already
	}
}

func (h *host) watch(ctx context.Context) {
	pool := sql.OpenDB(h.looking)
	pool.SetMaxOpenConns(1)
	defer pool.Close() //nolint:errcheck // saying goodbye may fail
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-h.asked:
		}
		v := look(ctx, pool)
		if ctx.Err() != nil {
			return
		}
		if v.err != nil { // behind a proxy, a new connection may reach another server
			pool.SetMaxIdleConns(0)
			pool.SetMaxIdleConns(1)
		}
		h.of.judge(h, v, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookGap):
		}
		wait := lookEvery
		if h.of.inUse.Load() == nil {
			wait = lookAgain
		}
		next.Reset(wait - lookGap)
	}
}

// look asks a server how it is.
func look(ctx context.Context, pool *sql.DB) verdict {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	told, err := tells(ctx, pool, "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'wsrep_on')")
	if err == nil && isOn(told["wsrep_on"]) {
		var status map[string]string
		status, err = tells(ctx, pool, "SHOW GLOBAL STATUS WHERE Variable_name IN"+
			" ('wsrep_ready', 'wsrep_cluster_status', 'wsrep_local_state', 'wsrep_local_recv_queue', 'wsrep_cluster_state_uuid')")
		maps.Copy(told, status)
	}
	if err != nil {
		return unanswered(err)
	}
	return verdictOf(told)
}

// unanswered is the verdict on a server that has answered with an error. One that doesn't know the question may be as good as any.
func unanswered(err error) verdict {
	switch number := mysqlNumber(err); {
	case number == notInCluster:
		return verdict{err: fmt.Errorf("%w: %w", ErrOutOfCluster, err)}
	case isCrowded(number): // it works, for others
		return verdict{err: fmt.Errorf("%w: %w", errNoAnswer, err), unclear: true}
	case number == 0 || unavailableMySQL(number) || unavailableVitess(err) || refusesLogin(number):
		return verdict{err: fmt.Errorf("%w: %w", errNoAnswer, err)}
	}
	return verdict{unclear: true}
}

// tells returns the rows of a question with two columns, a name and a value.
func tells(ctx context.Context, pool *sql.DB, question string) (map[string]string, error) {
	rows, err := pool.QueryContext(ctx, question)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller wraps
	}
	defer rows.Close() //nolint:errcheck // Err tells
	told := map[string]string{}
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err //nolint:wrapcheck // the caller wraps
		}
		told[strings.ToLower(name)] = value
	}
	return told, rows.Err() //nolint:wrapcheck // the caller wraps
}

// The states of a member of a Galera cluster, as wsrep_local_state has them.
const (
	donorState  = "2"
	syncedState = "4"
)

// verdictOf judges a server by its variables. On a server that isn't a member of a Galera cluster wsrep_on is missing or OFF.
func verdictOf(told map[string]string) (v verdict) {
	if isOn(told["wsrep_on"]) {
		v.cluster = told["wsrep_cluster_state_uuid"]
		state := told["wsrep_local_state"]
		queue, err := strconv.Atoi(told["wsrep_local_recv_queue"])
		v.donor = state == donorState
		switch {
		case !isOn(told["wsrep_ready"]) || told["wsrep_cluster_status"] != "Primary":
			v.err = ErrOutOfCluster
		case state != syncedState && state != donorState:
			v.err = ErrBehind
		case err != nil || queue > mostBehind:
			v.err = fmt.Errorf("%w: %s transactions wait", ErrBehind, told["wsrep_local_recv_queue"])
		}
	}
	// MariaDB 12 has more values than ON and OFF.
	if v.err == nil && (isSet(told["read_only"]) || isSet(told["super_read_only"])) {
		v.err = ErrReadOnly
	}
	return v
}

func isOn(value string) bool { return strings.EqualFold(value, "ON") || value == "1" }

func isSet(value string) bool { return value != "" && value != "0" && !strings.EqualFold(value, "OFF") }
