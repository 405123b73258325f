package doors

import "syscall"

const (
	// leastReserve and mostReserve bound how many descriptors are kept for the database, files, Redis and S3.
	leastReserve, mostReserve = 64, 4096
	// reserveShare is which part of all descriptors is kept within these bounds, and mostShare which part at most.
	reserveShare, mostShare = 8, 2
)

// OpenFiles returns the limit on the process's open files, 0 if it isn't known. The runtime has raised it as far as it may.
func OpenFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// Within returns how many connections a node may have: as many as wanted (0 for any number), but no more than a limit on open
// files allows. Some descriptors are kept in reserve, since a connection that can't be accepted is a smaller evil than a message
// that can't be stored.
func Within(wanted int, files uint64) int {
	const unlimited = 1 << 30
	if files == 0 || files >= unlimited {
		return wanted
	}
	reserve := min(max(files/reserveShare, leastReserve), mostReserve, files/mostShare)
	allowed := int(files - reserve)
	if wanted == 0 {
		return allowed
	}
	return min(wanted, allowed)
}
