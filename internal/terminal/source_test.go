package terminal

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
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
	p.forbids("<monitoring><command name='REBOOT'/></monitoring>")

	p = startFar(t, "11.1.2.3:4", opts)
	for range 20 {
		p.dial().closed()
	}
	if st := p.Stats(); st.Refused != 20 || st.Accepted != 0 || strings.Count(p.log.String(), "11.1.2.3") != 1 {
		t.Errorf("%+v\n%s", st, p.log)
	}
}

// echo answers commands with what it was told of them; its first command may ask for
// something else.
type echo struct{}

func (echo) Execute(_ context.Context, m command.Message) command.Answer {
	a := command.Answer{ATM: m.ATM, Head: command.Own(code.OtherTerminal, m.Signature)}
	switch {
	case m.Forbidden != nil:
		a.Head = command.Done()
		for _, c := range m.Commands {
			a.Results = append(a.Results, c.Fail(m.Forbidden)...)
		}
	case len(m.Commands) > 0 && m.Commands[0].Name == "much":
		a.Results = []command.Result{{XML: bytes.Repeat([]byte("<x/>"), 1<<16)}}
	case m.Ignored != "":
		a.Description = "ignored " + m.Ignored
	case m.Origin.Who != "":
		a.Description = "asked by " + m.Origin.Who
	}
	return a
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, keepAlive := range []bool{false, true} {
		p := start(t, Options{Commands: echo{}, KeepAlive: keepAlive}, &notebook{})
		_, a := p.dial().send(wire("JSON", "<monitoring/>")).answer()
		if a.Code != 102 || a.Description != "JSON" {
			t.Errorf("%+v", a)
		}
		if _, a := p.dial().send(wire("URAL", "<monitoring><comand name='REBOOT'/></monitoring>")).answer(); a.Description != "ignored comand" {
			t.Errorf("%+v", a)
		}
		p.dial().send(wire("URAL", "<monitoring><command name='much'/></monitoring>")).want(code.AnswerTooLong)
		p.dial().send(wire("URAL", "<monitoring")).want(code.Malformed)
		p.dial().send(wire("URAL", "<monitoring><command/></monitoring>")).want(code.MissingAttribute)
		if n := p.Stats().Commands; n != 3 {
			t.Errorf("%d commands counted", n)
		}
	}
}

// SPEC 7: `commands: off` forbids them on loopback.
func TestNoPlainCommands(t *testing.T) {
	t.Parallel()
	p := start(t, Options{Commands: echo{}, NoPlainCommands: true}, &notebook{})
	p.forbids("<monitoring><command id='1' name='REBOOT'/></monitoring>")
	p.dial().send(wire("URAL", good)).want(code.OK)
}

// forbids wants 106 in the command's result (SPEC 7), and 0 for the message.
func (p *port) forbids(message string) {
	p.t.Helper()
	c := p.dial().send(wire("URAL", message))
	_, body, err := frame.Read(c, frame.BigEndian, frame.MaxBody)
	a, bad := proatm.ParseCommandAnswer(body)
	if err = errors.Join(err, bad); err != nil || a.Code != code.OK || len(a.Results) != 1 || a.Results[0].Code != code.NotPermitted {
		p.t.Errorf("%s: %v", body, err)
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
