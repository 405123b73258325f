package app

import (
	"context"
	"errors"
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

// flushTime is how long an answer may take to leave once its handler has returned, in a stop.
const flushTime = time.Second

// shutDown closes the listener and every connection, each when its request is finished. It doesn't wait for connections that
// carry none: those whose request hasn't come, and those whose client still sends what nobody reads.
func (f *inFlight) shutDown(ctx context.Context, server *http.Server) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(ctx) }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for busy := time.Now(); ; {
		select {
		case err := <-ended:
			if err != nil {
				return errors.Join(err, server.Close())
			}
			return nil
		case now := <-look.C:
			if f.requests.Load() > 0 {
				busy = now
			} else if now.Sub(busy) > flushTime {
				return errors.Join(server.Close(), <-ended) // nothing is left that it could wait for
			}
		}
	}
}
