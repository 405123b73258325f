package app

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// inFlight counts the requests under way, so that Stop can wait for them while the listener still answers probes: a load
// balancer must see that the server isn't ready any more.
type inFlight struct {
	handler  http.Handler
	requests atomic.Int64
}

// ServeHTTP counts every request except health probes.
func (f *inFlight) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/readyz" && r.URL.Path != "/healthz" {
		f.requests.Add(1)
		defer f.requests.Add(-1)
	}
	f.handler.ServeHTTP(w, r)
}

// wait returns when no request is under way or ctx ends.
func (f *inFlight) wait(ctx context.Context) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for f.requests.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
