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

// Proxies are the addresses whose word about a client is taken: X-Forwarded-For, -Proto and -Host count from them
// alone. The zero value trusts nobody.
type Proxies struct {
	Trusted []netip.Prefix
	// PublicURL is the server's address as browsers reach it, without a slash at its end; "" to go by the request.
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

// extractor tells echo the client's address.
func (p Proxies) extractor() echo.IPExtractor {
	if len(p.Trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range p.Trusted {
		_, network, err := net.ParseCIDR(prefix.String())
		if err == nil { // a netip.Prefix is always one
			options = append(options, echo.TrustIPRange(network))
		}
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// base is the server's address as the client reaches it.
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

// hostname is what a Host may be: a name or address, with a port or not.
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

// first is the first entry of a forwarded header, the one closest to the client.
func first(list string) string {
	entry, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(entry)
}
