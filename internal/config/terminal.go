package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// atm takes a terminal's number, 1 to 8 digits, quoted or not, and writes it with 8.
func atm(to *string) func(*reader, node) {
	return func(r *reader, n node) {
		digits := fmt.Sprint(n.value)
		if len(digits) < 1 || len(digits) > 8 || strings.Trim(digits, "0123456789") != "" {
			r.bad(n, `must be the terminal's number of 1 to 8 digits, such as "00000040"`)
			return
		}
		*to = strings.Repeat("0", 8-len(digits)) + digits
	}
}

// signature is 4 printable ASCII characters (SPEC 1).
func signature(s string) (string, error) {
	ok := len(s) == 4
	for i := range len(s) {
		ok = ok && s[i] >= ' ' && s[i] <= '~'
	}
	if !ok {
		return "", fmt.Errorf("%q is no signature: 4 printable ASCII characters", s)
	}
	return s, nil
}

// signatures takes NAME: [sink, …] in the order of the file.
func signatures(to *[]Signature) func(*reader, node) {
	return func(r *reader, n node) {
		b, ok := n.value.(block)
		if !ok {
			r.bad(n, "must be a block: signatures { URAL: [uralsib] }")
			return
		}
		for _, s := range b {
			if _, err := signature(s.name); err != nil {
				r.problems.add(s.at, "%v", err)
				continue
			}
			*to = append(*to, Signature{s.name, r.sinksOf(s)})
		}
	}
}

func (r *reader) sinksOf(n node) []string {
	var names []string
	before := len(r.problems)
	texts(&names, knownSink)(r, n)
	if len(names) == 0 && len(r.problems) == before {
		r.bad(n, "names no sink")
	}
	return names
}

func knownSink(s string) (string, error) {
	if s == "mailbox" {
		return "", fmt.Errorf("sink mailbox is not in this version")
	}
	for _, name := range sinkNames {
		if s == name {
			return s, nil
		}
	}
	return "", fmt.Errorf("unknown sink %q%s", s, DidYouMean(s, sinkNames))
}

// parts takes what the edge hosts in its own process.
func parts(to *[]string) func(*reader, node) {
	words := []string{"router", Uralsib, Proxima}
	return texts(to, func(s string) (string, error) {
		if s == "mailbox" || s == "cmdfiles" {
			return "", fmt.Errorf("%s is not in this version", s)
		}
		return oneOf(words...)(s)
	})
}

// address is HOST:PORT.
func address(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf(`%q is not an address such as "127.0.0.1:3333"`, s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", fmt.Errorf("%q: the port must be a number from 0 to 65535", s)
	}
	return s, nil
}

// reachable is an address that one can connect to.
func reachable(s string) (string, error) {
	host, port, _ := net.SplitHostPort(s) // an address by now
	if host == "" || port == "0" {
		return "", fmt.Errorf("%q: host and port are both needed", s)
	}
	return s, nil
}

// loopback tells whether only this computer reaches the address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// toItself tells whether who connects to addr comes to the listener on this computer.
func toItself(addr, listener string) bool {
	return samePort(addr, listener) && (!everywhere(listener) || loopback(addr) || everywhere(addr))
}

// samePort tells whether two listeners cannot both be.
func samePort(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" { // 0 = any that is free
		return false
	}
	return canonical(hostA) == canonical(hostB) || everywhere(a) || everywhere(b)
}

// canonical is one name for the forms of this computer's address.
func canonical(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.EqualFold(host, "localhost"), err == nil && (ip.Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback()):
		return "localhost"
	case err == nil:
		return ip.Unmap().String()
	}
	return strings.ToLower(host)
}

// everywhere tells a listener on all addresses.
func everywhere(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip, bad := netip.ParseAddr(host)
	return err == nil && (host == "" || bad == nil && ip.Unmap().IsUnspecified())
}

// network is a CIDR, a plain address standing for itself alone.
func network(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return netip.PrefixFrom(ip, ip.BitLen()).String(), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return "", fmt.Errorf(`%q is not a network such as "10.1.0.0/16"`, s)
	}
	return p.Masked().String(), nil
}
