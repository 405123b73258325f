package check_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"tim/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = 1
	}
	os.Exit(code)
}
