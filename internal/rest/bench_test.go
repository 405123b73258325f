package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func empty(c echo.Context) error { return c.NoContent(http.StatusOK) }

// BenchmarkParameters measures the validation of a request's parameters.
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

// BenchmarkBody measures the validation of a JSON body.
func BenchmarkBody(b *testing.B) {
	benchmarkBody(b, "/Tim/UserRegister", `{"account": "alice", "password": "123456", "username": "Alice", "age": 20, "sex": "female"}`)
}

// BenchmarkSendBody measures the validation of a message, whose body is one of several kinds.
func BenchmarkSendBody(b *testing.B) {
	const body = `{"to": {"user": "bob"}, "clientId": "5f2c9a", "body": {"kind": "text", "text": "hello, this is a message of a usual length"}}`
	benchmarkBody(b, "/Tim/sendMessage", body)
}

func benchmarkBody(b *testing.B, route, body string) {
	b.Helper()
	e := gateOf(b, route, empty)
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, route, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if e.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
}
