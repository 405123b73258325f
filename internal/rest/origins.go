package rest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Origins are the origins whose pages may use this server from a browser, by CORS and by the sockets. Safe for concurrent use.
type Origins struct {
	Own       Proxies // says what this server's own origin is
	any       bool
	localhost bool
	listed    map[string]bool
	Refused   *Refusals // may be nil
}

// ParseOrigins reads a list of origins (scheme://host[:port]). `*` means all, and `localhost` any port of localhost.
func ParseOrigins(texts []string) (Origins, error) {
	o := Origins{listed: make(map[string]bool)}
	for _, text := range texts {
		switch u, err := url.Parse(text); {
		case text == "*":
			o.any = true
		case text == "localhost":
			o.localhost = true
		case err != nil || u.Scheme == "" || u.Host == "" || strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "":
			return o, fmt.Errorf("%q must be an origin like https://chat.example.org, or localhost, or *", text)
		default:
			o.listed[strings.ToLower(u.Scheme+"://"+u.Host)] = true
		}
	}
	return o, nil
}

// Allow reports whether a request's origin is allowed, and logs one that isn't. A request without an Origin doesn't come from a
// page, and this server's own origin is always allowed.
func (o Origins) Allow(r *http.Request) bool {
	allowed := o.allows(r)
	if !allowed {
		o.Refused.note(r)
	}
	return allowed
}

func (o Origins) allows(r *http.Request) bool {
	origin := strings.ToLower(r.Header.Get("Origin"))
	if origin == "" || o.any || o.listed[origin] {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	host := newAddress(u.Scheme, u.Host, "").host
	if host == newAddress(u.Scheme, r.Host, "").host || host == o.Own.base(r).host {
		return true
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return o.localhost
	}
	return false
}
