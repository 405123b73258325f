package rest

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// Proxies are the addresses of trusted proxies, and what they make of this server's own. X-Forwarded-For, -Proto, -Host and -Port
// count only in requests from them. The zero value trusts nobody. Safe for concurrent use.
type Proxies struct {
	trusted []netip.Prefix
	public  address // the setting; the zero value means that of each request
}

// ParseProxies reads addresses and CIDR ranges, and the public address, see ParsePublicURL.
func ParseProxies(texts []string, publicURL string) (Proxies, error) {
	var p Proxies
	var err error
	if p.public, err = parsePublic(publicURL); err != nil {
		return p, err
	}
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			one, oneErr := netip.ParseAddr(text)
			if oneErr != nil {
				return p, fmt.Errorf("%q must be an address like 10.0.0.7 or a range like 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(one, one.BitLen())
		}
		p.trusted = append(p.trusted, prefix)
	}
	return p, nil
}

// extractor returns the function by which echo finds the client's address.
func (p Proxies) extractor() echo.IPExtractor {
	if len(p.trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, prefix := range p.trusted {
		_, network, err := net.ParseCIDR(prefix.String())
		if err == nil { // a netip.Prefix can always be converted
			options = append(options, echo.TrustIPRange(network))
		}
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

func (p Proxies) trusts(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	return p.contains(peer.Addr())
}

// Trusts reports whether an address is that of a trusted proxy.
func (p Proxies) Trusts(ip netip.Addr) bool { return p.contains(ip) }

func (p Proxies) contains(ip netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
