package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func empty(c echo.Context) error { return c.NoContent(http.StatusOK) }

// BenchmarkParameters is what every request with parameters pays for their validation.
func BenchmarkParameters(b *testing.B) {
	e := gateOf(b, "/Tim/joinGroup", empty)
	r := httptest.NewRequest(http.MethodPost, "/Tim/joinGroup?UserAccount=alice&GroupID=1", nil)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}

// BenchmarkBody is what every request with a JSON body pays for its validation.
func BenchmarkBody(b *testing.B) {
	const body = `{"account": "alice", "password": "123456", "username": "Alice", "age": 20, "sex": "female"}`
	e := gateOf(b, "/Tim/UserRegister", empty)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/Tim/UserRegister", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
