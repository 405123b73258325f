package app

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
)

// adminHosts refuses requests of the admin listener whose Host is not this server's: a page whose name was made to resolve to the
// server's address could otherwise read the profiles with the browser of somebody who may (DNS rebinding). Such a page's name has
// a dot, and is no address.
type adminHosts struct {
	next http.Handler
	// names are the hosts that are taken, in small letters: localhost, that of the setting, and this machine's.
	names map[string]bool
	// loopback tells that the listener is for this machine alone: then addresses of others are refused.
	loopback bool
}

// newAdminHosts returns the check before a handler. setting is TIM_ADMIN_LISTEN.
func newAdminHosts(setting string, listening net.Addr, next http.Handler) *adminHosts {
	h := &adminHosts{next: next, names: map[string]bool{"localhost": true}}
	if host, _, err := net.SplitHostPort(setting); err == nil && host != "" {
		h.names[strings.ToLower(host)] = true // where it is an address, takes knows it
	}
	if tcp, ok := listening.(*net.TCPAddr); ok {
		h.loopback = tcp.IP.IsLoopback()
	}
	if name, err := os.Hostname(); err == nil && !h.loopback {
		h.names[strings.ToLower(name)] = true
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *adminHosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.takes(r.Host) {
		http.Error(w, "this listener answers to localhost, to addresses, and to the host of TIM_ADMIN_LISTEN", http.StatusMisdirectedRequest)
		return
	}
	h.next.ServeHTTP(w, r)
}

// aHost matches a Host: a name or an address, with or without a port.
var aHost = regexp.MustCompile(`^(?:([A-Za-z0-9._-]+)|\[([0-9A-Fa-f:.]+)\])(?::\d+)?$`)

// takes tells whether a Host may be this server's. HTTP/1.0 needs none, and no browser leaves it out.
func (h *adminHosts) takes(host string) bool {
	if host == "" {
		return true
	}
	parts := aHost.FindStringSubmatch(host)
	if parts == nil {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(parts[1], "."))
	ip, err := netip.ParseAddr(parts[1] + parts[2])
	switch {
	case h.names[name]:
		return true
	case err == nil:
		return !h.loopback || ip.Unmap().IsLoopback()
	default: // a service's name in a network of containers
		return !h.loopback && name != "" && !strings.Contains(name, ".")
	}
}
