package app_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tim/internal/apptest"
	"tim/internal/fault"
)

// overHTTP2 makes the site's clients speak HTTP/2 without TLS, as a proxy does. The checks of the answers stay.
func (s *site) overHTTP2(t testing.TB) {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), ReadBufferSize: 4 << 10}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	s.plain.Transport = noting{transport}
}

// Requests, uploads and downloads work over HTTP/2 without TLS, and the limits hold there too.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	inModes(t, func(t *testing.T, s *site) {
		token := s.enter(t, "h2.a")
		s.overHTTP2(t)
		ask2 := func(a ask) answer {
			t.Helper()
			a.plain, a.token = true, token
			return s.do(t, a)
		}
		response, err := s.send(t, ask{path: "/healthz", plain: true})
		if err != nil || response.ProtoMajor != 2 {
			t.Fatalf("%v %v", response, err)
		}
		_ = response.Body.Close()
		data := mp4Bytes("isom", 2_000_000)
		name := ask2(ask{path: "/uploadmp4", form: fileForm(data)}).body
		file := query("/downloadmp4", "filename", name)
		if got := ask2(ask{path: file}); got.status != http.StatusOK || got.body != string(data) {
			t.Errorf("a file: %d, %d bytes of %s", got.status, len(got.body), name)
		}
		if got := ask2(ask{path: file, header: map[string]string{"Range": "bytes=-5"}}); got.status != http.StatusPartialContent || got.body != string(data[len(data)-5:]) {
			t.Errorf("a part: %d, %d bytes", got.status, len(got.body))
		}
		if got := ask2(ask{method: http.MethodHead, path: file}); got.status != http.StatusOK || got.body != "" {
			t.Errorf("HEAD: %d, %d bytes", got.status, len(got.body))
		}
		for what, tt := range map[string]struct {
			ask    ask
			status int
			reason fault.Reason
		}{
			"a large body": {ask{path: "/Tim/updateProfile", json: `{"username":"` + strings.Repeat("x", 500_000) + `"}`}, http.StatusRequestEntityTooLarge, fault.BodyTooLarge},
			"a wrong body": {ask{path: "/Tim/updateProfile", json: `{"username":1}`}, http.StatusUnprocessableEntity, fault.InvalidBody},
			"no route":     {ask{path: "/nothing"}, http.StatusNotFound, fault.UnknownRoute},
			"a socket":     {ask{path: "/websocket/h2.a"}, http.StatusUpgradeRequired, fault.UpgradeRequired},
			"tim.v1":       {ask{path: "/websocket", header: map[string]string{"Sec-WebSocket-Version": "13"}}, http.StatusUpgradeRequired, fault.UpgradeRequired},
		} {
			got := ask2(tt.ask)
			if got.status != tt.status || got.Reason != string(tt.reason) || got.header.Get("Upgrade") != "" {
				t.Errorf("%s: %d %v %s", what, got.status, got.header, got.body)
			}
		}
		if got := ask2(ask{path: "/uploadmp4", form: fileForm(mp4Bytes("isom", 4_000_000))}); got.header.Get("Tim-Reason") != string(fault.FileTooLarge) {
			t.Errorf("a large file: %d %s", got.status, got.body)
		}
		var all sync.WaitGroup
		for range 300 { // more than a connection may have at once: they wait, or take another one
			all.Go(func() {
				if got := ask2(ask{path: query("/Tim/getFriends", "account", "h2.a")}); got.status != http.StatusOK {
					t.Errorf("at once: %d", got.status)
				}
			})
		}
		all.Wait()
	}, "--limit-video-bytes=3000000")
}

// A stop ends a stream whose body doesn't come, as it does a request of HTTP/1.1.
func TestStopWithHalfStreams(t *testing.T) {
	t.Parallel()
	s := start(t, apptest.Embedded, "--drain-timeout=1m")
	s.overHTTP2(t)
	body, more := io.Pipe()
	defer more.Close()
	answered := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/Tim/UserLogin", body)
		if err == nil {
			r.Header.Set("Content-Type", "application/json")
			var response *http.Response
			if response, err = s.plain.Do(r); err == nil {
				if response.StatusCode != http.StatusRequestTimeout || response.ProtoMajor != 2 {
					err = errors.New(response.Proto + " " + response.Status)
				}
				_ = response.Body.Close()
			}
		}
		answered <- err
	}()
	if _, err := more.Write([]byte(`{"account": "`)); err != nil { // it is under way
		t.Fatal(err)
	}
	begun := time.Now()
	s.Shutdown(t)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 25*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
