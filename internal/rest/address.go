package rest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// address is where browsers reach a server: links, the specs and redirects begin with it.
type address struct {
	scheme string // http or https
	host   string // with its port, unless that is the scheme's own
	path   string // what stands before the routes, percent-encoded, without a slash at its end: "" or /chat
}

// String returns the address without a slash at its end.
func (a address) String() string { return a.scheme + "://" + a.host + a.path }

// newAddress returns the address with the host in lower case and without a port that its scheme implies.
func newAddress(scheme, host, path string) address {
	port := ":80"
	if scheme == "https" {
		port = ":443"
	}
	return address{scheme, strings.TrimSuffix(strings.ToLower(host), port), path}
}

// ParsePublicURL reads an address like https://chat.example.org or https://example.org/chat/, and returns it without a slash at
// its end. "" is no address, and returned as it is.
func ParsePublicURL(text string) (string, error) {
	public, err := parsePublic(text)
	if err != nil || public == (address{}) {
		return "", err
	}
	return public.String(), nil
}

func parsePublic(text string) (address, error) {
	if text == "" {
		return address{}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return address{}, fmt.Errorf("%q must be like https://chat.example.org or https://example.org/chat", text)
	}
	prefix := strings.TrimSuffix(u.EscapedPath(), "/")
	if u.User != nil || strings.ContainsAny(text, "?#") || prefix != "" && path.Clean(prefix) != prefix {
		return address{}, fmt.Errorf("%q must have a scheme, a host and at most a path, like https://example.org/chat", text)
	}
	return newAddress(u.Scheme, u.Host, prefix), nil
}

// base returns the server's address as the client reaches it: that of the setting; otherwise what a trusted proxy says, and
// otherwise the request's own Host. The last is what the client itself has sent, so it may only stand in answers to this client,
// which no cache keeps.
func (p Proxies) base(r *http.Request) address {
	if p.public != (address{}) {
		return p.public
	}
	scheme, host, port := "http", r.Host, ""
	if r.TLS != nil {
		scheme = "https"
	}
	if p.trusts(r.RemoteAddr) {
		hops := p.hops(r)
		if proto := strings.ToLower(hop(r.Header["X-Forwarded-Proto"], hops)); proto == "https" || proto == "http" {
			scheme = proto
		}
		if forwarded := hop(r.Header["X-Forwarded-Host"], hops); hostname.MatchString(forwarded) {
			host = forwarded
		}
		port = hop(r.Header["X-Forwarded-Port"], hops)
	}
	if !hostname.MatchString(host) { // HTTP/1.0 needs none
		host = localAddress(r)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err == nil && number > 0 && !hasPort(host) {
		host += ":" + strconv.FormatUint(number, 10)
	}
	return newAddress(scheme, host, "")
}

// hostname matches a valid Host: a name or an address, with or without a port.
var hostname = regexp.MustCompile(`^([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?$`)

func hasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

// localAddress is where the connection arrived.
func localAddress(r *http.Request) string {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return local.String()
	}
	return "localhost"
}

// hops counts the trusted proxies that the request came through, from the list that each of them adds its predecessor to.
func (p Proxies) hops(r *http.Request) int {
	list := entries(r.Header["X-Forwarded-For"])
	n := 1 // the peer
	for _, entry := range slices.Backward(list) {
		if n >= len(list) || !p.trustsAddress(entry) {
			break
		}
		n++
	}
	return n
}

// hop returns the entry of a forwarded header that the outermost of the trusted proxies has written: each one adds at the end,
// so what a client wrote itself stands before it. A list may have fewer entries than there are proxies, since some replace it.
func hop(lines []string, hops int) string {
	list := entries(lines)
	if len(list) == 0 {
		return ""
	}
	return list[max(0, len(list)-hops)]
}

// entries are the elements of a header's list, over all its lines.
func entries(lines []string) (list []string) {
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				list = append(list, entry)
			}
		}
	}
	return list
}

func (p Proxies) trustsAddress(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && p.contains(ip)
}

// route is the first middleware, before the router. It makes echo route by the path as it was sent: otherwise echo would give
// path parameters decoded or encoded, depending on the rest of the path. And it makes the routes answer below the path of the
// public address as well, since some proxies keep that path and others remove it. A route that is there as it was asked for
// takes precedence, so what such a path is called can't hide one.
func (p Proxies) route(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		r.URL.RawPath = r.URL.EscapedPath()
		below, ok := strings.CutPrefix(r.URL.RawPath, p.public.path)
		if p.public.path != "" && ok && (below == "" || below[0] == '/') && !isRoute(c, r.Method, r.URL.RawPath) {
			goTo(r, below)
		}
		if r.URL.RawPath == "" || r.URL.RawPath == docsFolder {
			goTo(r, "/") // which redirects to the page
		}
		return next(c)
	}
}

// docsFolder is the page of Swagger UI with a slash that doesn't belong there: from it, the page's files would have other addresses.
const docsFolder = "/docs/"

func goTo(r *http.Request, escaped string) {
	if decoded, err := url.PathUnescape(escaped); err == nil {
		r.URL.Path, r.URL.RawPath = decoded, escaped
	}
}

// isRoute reports whether a path is a route's.
func isRoute(c echo.Context, method, path string) bool {
	c.Echo().Router().Find(method, path, c)
	restOfPath := func(value string) bool { return strings.Contains(value, "/") } // echo's last parameter takes it whole
	return c.Path() != "" && !slices.ContainsFunc(c.ParamValues(), restOfPath)
}
