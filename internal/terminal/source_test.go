package terminal

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"vestnik/internal/code"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	nets, err := Networks([]string{"10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::ffff:10.9.0.0/112"})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{AllowPlainEvents: nets}
	for addr, want := range map[string]Way{
		"127.0.0.1":        Loopback,
		"127.9.9.9":        Loopback,
		"::1":              Loopback,
		"::ffff:127.0.0.1": Loopback,
		"10.1.2.3":         Network,
		"::ffff:10.1.2.3":  Network,
		"10.9.1.1":         Network,
		"192.0.2.7":        Network,
		"2001:db8::5":      Network,
		"10.2.0.1":         Nowhere,
		"192.0.2.8":        Nowhere,
		"fe80::1%eth0":     Nowhere,
		"0.0.0.0":          Nowhere,
	} {
		if got := o.plain(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 1))).Way; got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
	if o.plain(&net.UnixAddr{Name: "x"}).Events() {
		t.Error("a Unix socket may connect")
	}
	if _, err := Networks([]string{"10.1.0.0/33"}); err == nil || !strings.Contains(err.Error(), "10.1.0.0/33") {
		t.Errorf("%v", err)
	}
}

// faraway is a listener whose connections seem to come from elsewhere.
type faraway struct {
	net.Listener
	from net.Addr
}

type farConn struct {
	*net.TCPConn
	from net.Addr
}

func (c farConn) RemoteAddr() net.Addr { return c.from }

func (l faraway) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c.(*net.TCPConn), l.from}, nil
}

func startFar(t *testing.T, from string, opts Options) *port {
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, faraway{ln, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}, opts, &notebook{})
}

// SPEC 7: allow_plain_events names networks whose Network, not commands, are
// taken in the clear; others are closed at once.
func TestSources(t *testing.T) {
	t.Parallel()
	opts := Options{AllowPlainEvents: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Commands: echo{}}
	p := startFar(t, "10.1.2.3:4", opts)
	p.dial().send(wire("URAL", good)).want(code.OK)
	p.dial().send(wire("URAL", "<monitoring><command name='REBOOT'/></monitoring>")).want(code.NotPermitted)

	p = startFar(t, "11.1.2.3:4", opts)
	for range 20 {
		p.dial().closed()
	}
	if st := p.Stats(); st.Refused != 20 || st.Accepted != 0 || strings.Count(p.log.String(), "11.1.2.3") != 1 {
		t.Errorf("%+v\n%s", st, p.log)
	}
}

// echo is a Commander that answers with what it was sent.
type echo struct{}

func (echo) Command(_ context.Context, _ Origin, signature string, body []byte) []byte {
	switch {
	case bytes.Contains(body, []byte("nothing")):
		return nil
	case bytes.Contains(body, []byte("much")):
		return bytes.Repeat(body, 1<<16/len(body)+1)
	}
	return []byte("<monitoring><result code='102' status='error' source='agent' description='" + signature + "'/></monitoring>")
}

func TestCommander(t *testing.T) {
	t.Parallel()
	for _, keepAlive := range []bool{false, true} {
		p := start(t, Options{Commands: echo{}, KeepAlive: keepAlive}, &notebook{})
		_, a := p.dial().send(wire("JSON", "<monitoring/>")).answer()
		if a.Code != 102 || a.Description != "JSON" {
			t.Errorf("%+v", a)
		}
		p.dial().send(wire("URAL", "<monitoring a='nothing'/>")).want(code.BadAnswer)
		p.dial().send(wire("URAL", "<monitoring a='much'/>")).want(code.AnswerTooLong)
		p.dial().send(wire("URAL", "<monitoring")).want(code.Malformed)
		if n := p.Stats().Commands; n != 3 {
			t.Errorf("%d commands counted", n)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Options{ATM: "00000040", Signatures: []string{"URAL"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Options{ATM: "40", Signatures: []string{"URALS", "JSON", "JSON", "a\nbc"}, FrameTimeout: -1, IdleTimeout: -1,
		DedupWindow: -1, MaxConnections: -1, MaxBody: 70000, XMLDepth: -1, XMLAttributes: -1}
	err := bad.Validate()
	if n := len(strings.Split(err.Error(), "\n")); n != 11 {
		t.Errorf("%d problems:\n%v", n, err)
	}
	if err := (Options{ATM: "00000040"}).Validate(); err == nil {
		t.Error("no signature is taken")
	}
}
