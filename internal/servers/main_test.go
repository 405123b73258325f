package servers_test

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"tim/internal/servers"
	"tim/internal/testserver"
)

// TestMain stands outside of the package because testserver imports it.
func TestMain(m *testing.M) {
	if os.Getenv("SERVERS_CHILD") == "hold" {
		fmt.Println(hold())
		os.Exit(1)
	}
	redis.SetLogger(&logging.VoidLogger{})
	code := testserver.Main(m, testserver.AllTests)
	// The Redis client probes for a second more where it couldn't connect.
	err := goleak.Find()
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); {
		err = goleak.Find()
	}
	if err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}

// hold starts servers, says so, and waits to be killed.
func hold() error {
	home, err := servers.NewHome()
	if err != nil {
		return err
	}
	if _, err := home.MariaDB(); err != nil {
		return err
	}
	if _, err := home.Redis(); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
