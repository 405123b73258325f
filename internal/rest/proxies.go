package rest

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"
)

// Proxies are the addresses of trusted proxies. X-Forwarded-For, -Proto and -Host count only in requests from them. The zero
// value trusts nobody. Safe for concurrent use.
type Proxies struct {
	Trusted []netip.Prefix
	// PublicURL is the server's address for browsers, without a slash at its end. "" means that of each request.
	PublicURL string
}

// ParseProxies reads addresses and CIDR ranges.
func ParseProxies(texts []string, publicURL string) (Proxies, error) {
	p := Proxies{PublicURL: strings.TrimSuffix(publicURL, "/")}
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, addressErr := netip.ParseAddr(text)
			if addressErr != nil {
				return p, fmt.Errorf("%q must be an address like 10.0.0.7 or a range like 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		p.Trusted = append(p.Trusted, prefix)
	}
	return p, nil
}

// extractor returns the function by which echo finds the client's address.
func (p Proxies) extractor() echo.IPExtractor {
	if len(p.Trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range p.Trusted {
		_, network, err := net.ParseCIDR(prefix.String())
		if err == nil { // a netip.Prefix can always be converted
			options = append(options, echo.TrustIPRange(network))
		}
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// base returns the server's address as the client reaches it.
func (p Proxies) base(r *http.Request) string {
	if p.PublicURL != "" {
		return p.PublicURL
	}
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if p.trusts(r.RemoteAddr) {
		if forwarded := first(r.Header.Get("X-Forwarded-Proto")); forwarded == "https" || forwarded == "http" {
			scheme = forwarded
		}
		if forwarded := first(r.Header.Get("X-Forwarded-Host")); hostname.MatchString(forwarded) {
			host = forwarded
		}
	}
	return scheme + "://" + host
}

// hostname matches a valid Host: a name or an address, with or without a port.
var hostname = regexp.MustCompile(`^[A-Za-z0-9._-]+(:\d+)?$|^\[[0-9A-Fa-f:.]+\](:\d+)?$`)

func (p Proxies) trusts(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	for _, prefix := range p.Trusted {
		if prefix.Contains(peer.Addr().Unmap()) {
			return true
		}
	}
	return false
}

// first returns the first entry of a forwarded header, which is the client's.
func first(list string) string {
	entry, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(entry)
}
