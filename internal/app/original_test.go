package app_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"tim/internal/apptest"
)

// recorded is a request as front ends of the original send it, with what its framework was measured to answer to a program of the
// same parameters (Spring Boot 2.6, Jackson), and what is right here.
type recorded struct {
	Name     string `json:"name"`
	Method   string `json:"method"`
	Path     string `json:"path"`
	Type     string `json:"type"`
	Body     string `json:"body"`
	Original int    `json:"original"` // the status of the original
	Here     int    `json:"here"`     // the status here
	Has      string `json:"has"`      // what the answer here holds
	Reason   string `json:"reason"`
	Better   string `json:"better"` // why the answer here is another one
}

// The requests of testdata/original.json are answered as the original did, but where the table says what is better here.
func TestRequestsOfTheOriginal(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/original.json")
	must(t, err)
	var table []recorded
	must(t, json.Unmarshal(text, &table))
	s := start(t, apptest.Embedded, "--limit-registrations=0")
	token := s.enter(t, "or.a")
	s.createGroup(t, token, "or.a", "first")
	for _, r := range table {
		a := ask{method: r.Method, path: r.Path, text: r.Body, plain: true, header: map[string]string{"Content-Type": r.Type}}
		if !strings.HasPrefix(r.Path, "/Tim/User") {
			a.token = token
		}
		got := s.do(t, a)
		if got.status != r.Here || got.Reason != r.Reason || !strings.Contains(got.body, r.Has) {
			t.Errorf("%s: %d %s, want %d %s with %s (the original: %d)", r.Name, got.status, got.body, r.Here, r.Reason, r.Has, r.Original)
		}
		if taken := r.Original < 400; taken && r.Here >= 400 && r.Better == "" {
			t.Errorf("%s: the original took it, and the table doesn't say why it is refused here", r.Name)
		}
	}
}
