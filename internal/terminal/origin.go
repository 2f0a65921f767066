package terminal

import (
	"crypto/tls"
	"net"
)

// Origin is where a message came from, and so what it may ask for: SPEC 7's rights
// on the terminal ports are decided here and nowhere else.
type Origin struct {
	Way    Way
	Remote net.Addr
	Name   string // common name of the client's certificate, TLS only
}

// Way is how a connection came in.
type Way uint8

// The ways in. The plain port takes this computer's connections; those of
// allow_plain_events for events only; who has a certificate comes by TLS.
const (
	Nowhere  Way = iota // refused
	Network             // SPEC 7: allow_plain_events names networks whose events, not commands, are taken in the clear
	Loopback            // SPEC 7: the plain port takes loopback addresses only, commands included
	TLS                 // SPEC 7: client certificates required, for both
)

// Events tells whether events are taken.
func (o Origin) Events() bool { return o.Way != Nowhere }

// Commands tells whether commands are taken.
func (o Origin) Commands() bool { return o.Way == Loopback || o.Way == TLS }

// plain judges a connection of the plain port by its source address.
func (o *Options) plain(remote net.Addr) Origin {
	from := Origin{Remote: remote}
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return from
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		from.Way = Loopback
		return from
	}
	for _, p := range o.AllowPlainEvents {
		if p.Contains(ip) {
			from.Way = Network
		}
	}
	return from
}

// certified is the origin of a connection whose handshake is done: it had a
// certificate of the authority.
func certified(c *tls.Conn) Origin {
	from := Origin{Way: TLS, Remote: c.RemoteAddr()}
	if chain := c.ConnectionState().PeerCertificates; len(chain) > 0 {
		from.Name = chain[0].Subject.CommonName
	}
	return from
}
