package rest

import (
	"log/slog"
	"net/http"
	"sync"
)

const (
	// maxRefusals is how many refused origins are named in the log. A page can have as many origins as it likes.
	maxRefusals = 100
	// maxLoggedOrigin is the number of bytes of an origin that the log shows.
	maxLoggedOrigin = 256
)

// Refusals writes each origin that is refused into the log, once. Most refusals are a setting that lacks an address. nil writes
// nothing. Safe for concurrent use.
type Refusals struct {
	log *slog.Logger

	mu   sync.Mutex
	seen map[string]bool
}

// NewRefusals returns Refusals that write to a log.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{log: log, seen: make(map[string]bool)}
}

// note logs the origin of a refused request, if it is new.
func (f *Refusals) note(r *http.Request) {
	if f == nil {
		return
	}
	origin := r.Header.Get("Origin")
	if len(origin) > maxLoggedOrigin {
		origin = origin[:maxLoggedOrigin] + "…"
	}
	fresh, last := f.add(origin)
	if !fresh {
		return
	}
	f.log.Warn("a page's origin was refused; if it is yours, add it to TIM_ALLOWED_ORIGINS", "origin", origin, "path", clip(r.URL.Path))
	if last {
		f.log.Warn("further refused origins are not logged; TIM_ALLOWED_ORIGINS has those that are allowed")
	}
}

// add says whether an origin is new, and whether it is the last that the table takes.
func (f *Refusals) add(origin string) (fresh, last bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[origin] || len(f.seen) >= maxRefusals {
		return false, false
	}
	f.seen[origin] = true
	return true, len(f.seen) == maxRefusals
}
