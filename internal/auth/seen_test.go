package auth

import "testing"

// BenchmarkCheck is what every frame of a socket pays whose session was seen a moment ago.
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
