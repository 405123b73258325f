package classic

import (
	"strconv"
	"strings"
	"testing"
)

// quiet is a conversation without a socket, whose mark is never stored.
func quiet(delivered int64) *Conversation {
	c := new(Conversation)
	c.mark.over = true
	c.mark.resume(delivered)
	return c
}

// A pong confirms what was written before its ping, and no more, whatever it claims.
func TestPongConfirms(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		pong string
		want int64
	}{
		"the first ping":            {"1:5", 5},
		"the second":                {"2:9", 9},
		"less than it asked about":  {"2:7", 7},
		"more than was asked about": {"2:100", 9},
		"a ping that never was":     {"3:9", 4},
		"a step back":               {"1:1", 4},
		"nobody's":                  {"hello", 4},
		"empty":                     {"", 4},
		"too large a number":        {"2:9223372036854775808", 4},
		"negative":                  {"-1:-9", 4},
	} {
		c := quiet(4)
		for i, written := range []int64{5, 9} {
			c.Written(written)
			want := strconv.Itoa(i+1) + ":" + strconv.FormatInt(written, 10)
			if got := string(c.PingPayload(nil, written)); got != want {
				t.Fatalf("ping %d says %q, want %q", i+1, got, want)
			}
		}
		c.Pong([]byte(tt.pong))
		if got := c.confirmed(); got != tt.want {
			t.Errorf("%s: %q confirms %d, want %d", name, tt.pong, got, tt.want)
		}
	}
}

// A ping before any message of this socket asks about what was confirmed before it.
func TestPingBeforeAnyMessage(t *testing.T) {
	t.Parallel()
	if got := string(quiet(7).PingPayload(nil, 0)); got != "1:7" {
		t.Errorf("it says %q", got)
	}
}

// What is read as a pong has two numbers.
func FuzzPong(f *testing.F) {
	for _, seed := range []string{"1:2", ":", "1", "1:", ":1", "a:b", "+1:-2", "1:2:3", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if number, seq, ok := parsePong(payload); ok && !strings.Contains(string(payload), ":") {
			t.Errorf("%q is pong %d of %d", payload, number, seq)
		}
		c := quiet(4)
		c.Written(9)
		c.PingPayload(nil, 9)
		c.Pong(payload)
		if got := c.confirmed(); got != 4 && (got < 4 || got > 9) {
			t.Errorf("%q confirms %d", payload, got)
		}
	})
}
