package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/certs"
	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// pki is a folder of certificates, and a second one of strangers.
func pki(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	plan := certs.Plan{Hosts: []string{"127.0.0.1"}, Programs: []string{"router"}, Life: 24 * time.Hour, Now: time.Now()}
	if _, err := certs.Make(dir, plan); err != nil {
		t.Fatal(err)
	}
	return dir
}

func startTLS(t *testing.T, dir string, opts Options, rec *notebook) (*port, *certs.Holder) {
	t.Helper()
	file := func(name string) string { return filepath.Join(dir, name) }
	h, err := certs.Open(certs.Files{Cert: file("server.pem"), Key: file("server.key"), CA: file("terminals-ca.pem")}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, tls.NewListener(ln, h.Config()), opts, rec), h
}

// as is a client's configuration with one of the folder's certificates, "" = none.
func as(t *testing.T, dir, name string) *tls.Config {
	t.Helper()
	pool, err := certs.Pool(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	if name == "" {
		return c
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return c
}

// ask sends one message by TLS.
func ask(p *port, c *tls.Config, message string) (proatm.Answer, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", p.addr, c)
	if err != nil {
		return proatm.Answer{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(message)); err != nil {
		return proatm.Answer{}, err
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		return proatm.Answer{}, err
	}
	if len(all) < frame.HeaderSize {
		return proatm.Answer{}, io.ErrUnexpectedEOF
	}
	return proatm.ParseResult(all[frame.HeaderSize:])
}

// SPEC 7: over TLS, with a certificate of the authority, events and commands.
func TestTLSTakesBoth(t *testing.T) {
	t.Parallel()
	dir := pki(t)
	rec := &notebook{}
	p, _ := startTLS(t, dir, Options{Commands: echo{}}, rec)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := as(t, dir, "terminal")
		c.MinVersion, c.MaxVersion = version, version
		if a, err := ask(p, c, wire("URAL", good)); err != nil || a.Code != int(code.OK) {
			t.Errorf("%x: %+v, %v", version, a, err)
		}
	}
	a, err := ask(p, as(t, dir, "terminal"), wire("URAL", "<monitoring><command name='REBOOT'/></monitoring>"))
	if err != nil || a.Description != "asked by terminal" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := ask(p, as(t, dir, "terminal"), wire("URAL", "<event")); err != nil || a.Code != int(code.Malformed) {
		t.Errorf("%+v, %v", a, err)
	}
	if n := len(rec.all()); n != 2 {
		t.Errorf("%d events recorded", n)
	}
}

// Nobody else comes in: without a certificate, with one of strangers, with the
// broker's certificates, by old TLS, in the clear.
func TestTLSRefuses(t *testing.T) {
	t.Parallel()
	dir, strangers := pki(t), pki(t)
	rec := &notebook{}
	p, _ := startTLS(t, dir, Options{Commands: echo{}}, rec)
	old := as(t, dir, "terminal")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	stranger := as(t, strangers, "terminal")
	stranger.RootCAs = as(t, dir, "").RootCAs
	for name, c := range map[string]*tls.Config{
		"no certificate": as(t, dir, ""), "a stranger's": stranger, "a program's": as(t, dir, "router"),
		"the server's": as(t, dir, "server"), "TLS 1.1": old,
	} {
		if a, err := ask(p, c, wire("URAL", good)); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	p.dial().send(wire("URAL", good)).closed()
	if n := len(rec.all()); n != 0 {
		t.Errorf("%d events recorded", n)
	}
	until(t, "six refusals in the log", func() bool { return strings.Count(p.log.String(), "TLS connection refused") == 6 })
}

// The handshake is part of the frame's time.
func TestTLSHandshakeIsTimed(t *testing.T) {
	t.Parallel()
	p, _ := startTLS(t, pki(t), Options{FrameTimeout: 100 * time.Millisecond}, &notebook{})
	p.dial().closed()
	p.dial().send("\x16\x03\x01").closed()
}

// A connection in its handshake may be displaced: idle ones keep nobody out.
func TestTLSHandshakeIsDisplaced(t *testing.T) {
	t.Parallel()
	dir := pki(t)
	p, _ := startTLS(t, dir, Options{MaxConnections: 4}, &notebook{})
	var idle []*client
	for range 4 {
		idle = append(idle, p.dialAdmitted())
	}
	for range 3 {
		if a, err := ask(p, as(t, dir, "terminal"), wire("URAL", good)); err != nil || a.Code != int(code.OK) {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	idle[0].closed()
}

// Both ports share the limits and end together.
func TestTwoPorts(t *testing.T) {
	t.Parallel()
	dir := pki(t)
	h, err := certs.Open(certs.Files{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"),
		CA: filepath.Join(dir, "terminals-ca.pem")}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure = tls.NewListener(secure, h.Config())
	s := New(Options{ATM: "00000040", Signatures: []string{"URAL"}, MaxConnections: 1}, &notebook{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, plain, secure) }()
	waiting, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	until(t, "connection", func() bool { return s.Stats().Connections == 1 })
	p := &port{t: t, addr: secure.Addr().String()}
	if a, err := ask(p, as(t, dir, "terminal"), wire("URAL", good)); err != nil || a.Code != int(code.OK) {
		t.Errorf("%+v, %v", a, err)
	}
	_ = waiting.SetReadDeadline(time.Now().Add(patience))
	if _, err := waiting.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("not displaced: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, ln := range []net.Listener{plain, secure} {
		if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
			_ = c.Close()
			t.Errorf("%s still accepts", ln.Addr())
		}
	}
}
