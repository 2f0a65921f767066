package terminal

import (
	"fmt"
	"net"
	"net/netip"
)

// access is what a connection may do, by its source address.
type access uint8

const (
	nothing    access = iota
	events            // SPEC 7: allow_plain_events names networks whose events, not commands, are taken in the clear
	everything        // SPEC 7: the plain port takes loopback addresses only, commands included
)

func (o *Options) access(remote net.Addr) access {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return nothing
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return everything
	}
	for _, p := range o.AllowPlainEvents {
		if p.Contains(ip) {
			return events
		}
	}
	return nothing
}

// Networks reads the setting allow_plain_events: networks (10.1.0.0/16) or
// single addresses.
func Networks(list []string) ([]netip.Prefix, error) {
	var ps []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if ip, ipErr := netip.ParseAddr(s); err != nil && ipErr == nil {
			p, err = netip.PrefixFrom(ip.WithZone(""), ip.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("terminal.allow_plain_events: %q is neither a network nor an address", s)
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		ps = append(ps, p.Masked())
	}
	return ps, nil
}
