package realtime_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of what these tests do is to wait: for disks, for timeouts, for peers.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := testserver.Main(m,
		"TestCatchUpByPages", "TestNeitherBusNorDatabase", "TestLostMessageOfManyReaders", "TestOneOrderOnTwoNodes",
		"TestTwoNodes", "TestDatabaseAway", "TestDatabaseSilent", "TestCatchUp",
		"TestRedisAway", "TestModernRedisCluster", "TestModernTwoNodes", "TestModernRemoved",
		"TestModernDatabaseAway", "TestModernWithoutDatabase", "TestHeirAfterAClockJump", "TestModernClockJumps",
	)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
