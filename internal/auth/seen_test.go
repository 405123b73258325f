package auth

import "testing"

// BenchmarkCheck measures what a socket's frame costs whose session this node has checked within the last 5 s.
func BenchmarkCheck(b *testing.B) {
	n := onSQLite(b)
	n.register(b, "alice")
	_, s := n.login(b, "alice")
	b.ReportAllocs()
	for b.Loop() {
		if err := n.Check(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
}
