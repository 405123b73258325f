package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"regexp"
	"strings"
	"syscall"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The numbers of MySQL's and MariaDB's errors that this package acts on.
const (
	tableExists      = 1050
	noSuchTable      = 1146
	noSuchColumn     = 1054
	columnExists     = 1060
	indexExists      = 1061
	duplicateKey     = 1062
	diskFull         = 1021
	recordFileFull   = 1114 // also said of a tablespace or a temporary table
	lockWaitTimeout  = 1205
	deadlock         = 1213
	duplicateKeyName = 1586
	unknownError     = 1105
	notInCluster     = 1047 // Galera: this member is not in the cluster now
	failedCommit     = 1180
	lostToMember     = 3101 // MySQL's Group Replication: a transaction of another member, which wrote the same row, came first
)

// IsDuplicate reports whether a statement failed because another row has the same unique key.
func IsDuplicate(err error) bool {
	if number := mysqlNumber(err); number != 0 {
		return number == duplicateKey || number == duplicateKeyName
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return true
	}
	return false
}

// IsUnavailable reports whether the database could not be asked, or could not do what it was asked, for a reason that lies
// neither in the statement nor in the data: it is away or shutting down, out of space or memory, read-only, locked by others
// for too long, damaged, or the deadline has passed. A later attempt may succeed. Nobody knows whether a write with such an error was
// carried out. A cancelled context is not such an error.
func IsUnavailable(err error) bool {
	for _, known := range []error{
		context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, mysql.ErrInvalidConn, mysql.ErrMalformPkt,
		errPartly, errNoAnswer, ErrOutOfCluster, ErrOtherCluster, ErrReadOnly, ErrBehind,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	// The driver passes on the network's errors only from dialing. A network error of another operation comes from elsewhere.
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return true
	}
	return isConflict(err) || IsDamaged(err) || unavailableMySQL(mysqlNumber(err)) || unavailableVitess(err) || unavailableSQLite(sqliteCode(err))
}

// IsFull reports whether a write failed because the disk that holds the database is full. IsUnavailable holds for it, too.
func IsFull(err error) bool {
	switch mysqlNumber(err) {
	case diskFull, recordFileFull:
		return true
	}
	code := sqliteCode(err)
	return code&0xff == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR_SHMSIZE ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isConflict reports whether the database ended a transaction because of another one. The transaction may then be tried again.
func isConflict(err error) bool {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return conflictMySQL(e)
	}
	return sqliteCode(err)&0xff == sqlite3.SQLITE_BUSY
}

func conflictMySQL(e *mysql.MySQLError) bool {
	switch e.Number {
	case deadlock, lockWaitTimeout, lostToMember,
		8002, 8005, 9007, // TiDB: another transaction wrote the same row,
		8022, // the storage asks for another try,
		8028: // or a table changed meanwhile
		return true
	case failedCommit: // with the storage engine's number in the text
		return deadlockAtCommit.MatchString(e.Message)
	}
	return false
}

// deadlockAtCommit matches the storage engine's number for a deadlock. A member of a group says so at COMMIT when another member's
// transaction, which it has to apply, needs a row that this one has locked.
var deadlockAtCommit = regexp.MustCompile(`\b149\b`)

func unavailableMySQL(number uint16) bool {
	switch number {
	case 1040, 1203, 1226, 1129, // too many connections, in all or of this user; host blocked
		1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3168, 3169, 4031, // shutting down, connection lost or killed
		2002, 2003, 2006, 2013, // the same, said by a proxy
		notInCluster,
		1290, 1792, 1836, 1874, 3032, 3100, // read-only; offline; refused by a replication plugin
		3796, 3797, 3798, 3799, // Group Replication: other members have not applied, or this one is leaving
		9001, 9002, 9003, 9004, 9005, // TiDB: a part of the cluster doesn't answer, or is too busy
		3, 1020, 1021, 1030, 1114, failedCommit, // disk full, storage engine failing
		1037, 1038, 1041, // out of memory
		1317, 1969, 3024: // interrupted, took too long
		return true
	}
	return false
}

// refusesWork reports whether an error says that a server takes no work at all now, or none that writes: it is out of its cluster,
// read-only, or on its way down.
func refusesWork(number uint16) bool {
	switch number {
	case notInCluster, 1290, 1792, 1836, 1874, 3032, 1053, 1077, 1079, 1080, 2006, 2013:
		return true
	}
	return false
}

// isCrowded reports whether an error says that a server has too many connections, in all or of this user.
func isCrowded(number uint16) bool { return number == 1040 || number == 1203 || number == 1226 }

// refusesLogin reports whether an error says that the account may not enter the server, or not this database.
func refusesLogin(number uint16) bool {
	switch number {
	case 1044, 1045, 1049, 1130, 1698:
		return true
	}
	return false
}

// unavailableVitess reports whether a vtgate found no tablet that it could ask, or one that is changing its place. It says so by the number
// of unknown errors: a text about a target, or one that begins with the code of a class.
func unavailableVitess(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok || e.Number != unknownError {
		return false
	}
	for _, head := range []string{"target: ", "VT14", "VT15"} {
		if strings.HasPrefix(e.Message, head) {
			return true
		}
	}
	return false
}

func unavailableSQLite(code int) bool {
	switch code & 0xff {
	case sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_PERM:
		return true
	}
	return false
}

// isMissingTable reports whether a statement failed because there is no such table.
func isMissingTable(err error) bool {
	if number := mysqlNumber(err); number != 0 {
		return number == noSuchTable
	}
	return sqliteCode(err) == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

// mysqlNumber returns the number of a MySQL server's error, 0 for any other error.
func mysqlNumber(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// sqliteCode returns SQLite's extended result code, 0 for any other error.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}
