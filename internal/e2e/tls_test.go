package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vestnik/internal/e2e/badtcp"
	"vestnik/internal/simulate"
)

// issuer is a certificate authority for one test.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	var der []byte
	i.key, der = i.sign(template, template, nil)
	i.cert, _ = x509.ParseCertificate(der) // made just now
	return i
}

func (i *issuer) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		i.t.Fatal(err)
	}
	return key, der
}

// server is a certificate for an address that ends so long from now.
func (i *issuer) server(ip string, ends time.Duration) *tls.Certificate {
	i.t.Helper()
	key, der := i.sign(&x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.ParseIP(ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(ends)}, i.cert, i.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (i *issuer) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

// SPEC 4: a bad certificate is an outage, and so is a handshake that never ends: the
// event is shown to nobody, and all of them arrive when the server is the right one.
func TestNetworkTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newIssuer(t), newIssuer(t)
	var cert atomic.Pointer[tls.Certificate]
	var proxy *badtcp.Proxy
	o := settings{URAL: "uralsib, proxima", Timeout: "0.5", Sink: `retry_min: "50ms", retry_max: "200ms", ca: "ca.pem"`}
	o.Via = func(sink, url string) string {
		if sink != "uralsib" {
			return url
		}
		var err error
		if proxy, err = badtcp.Listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		return "https://" + proxy.Addr() + "/monitor"
	}
	s := newSite(t, o)
	s.write("ca.pem", ours.pem())
	secure := simulate.NewUralsib(simulate.UralsibOptions{})
	s.uralsib = secure
	n := &network{site: s, t: t, proxy: map[string]*badtcp.Proxy{"uralsib": proxy}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy.To(ln.Addr().String())
	serveOn(t, tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }}), secure.Serve)
	cert.Store(theirs.server("127.0.0.1", time.Hour))
	s.start(programs...)
	n.nc, _ = s.connect()
	load := startLoad(t, s, 60)
	for _, c := range []struct {
		cert *tls.Certificate
		kind badtcp.Kind
		says string
	}{
		{cert.Load(), badtcp.Pass, "bad certificate"},
		{ours.server("127.0.0.1", -time.Hour), badtcp.Pass, "expired"},
		{ours.server("127.0.0.2", time.Hour), badtcp.Pass, "it is not for 127.0.0.1"},
		{ours.server("127.0.0.1", time.Hour), badtcp.BlackHole, "connecting to " + proxy.Addr() + ": timed out"},
		{ours.server("127.0.0.1", time.Hour), badtcp.DripDown, "connecting to " + proxy.Addr() + ": timed out"},
	} {
		cert.Store(c.cert)
		proxy.Set(badtcp.Fault{Kind: c.kind, Every: 5 * time.Millisecond})
		n.out("uralsib", c.says, 1)
		if list := secure.Arrivals(); len(list) > 0 {
			t.Fatalf("%s: %d events were shown to a server that nobody vouches for", c.says, len(list))
		}
	}
	proxy.Set(badtcp.Fault{})
	sent := load.stop()
	for _, name := range []string{"uralsib", "proxima"} {
		n.caughtUp(name, sent)
		n.check(name, sent)
	}
	if c := s.proxima.Counts(); c.Requests != sent {
		t.Errorf("proxima, which was well: %+v", c)
	}
}

// SPEC 4: an unknown host is an outage, its events wait, and the other sink has its own.
func TestNetworkUnknownHost(t *testing.T) {
	t.Parallel()
	host := strings.Repeat("x", 64) + ".invalid" // 64 letters: no resolver asks anybody
	s := runSite(t, settings{URAL: "uralsib, proxima", Uralsib: "http://" + host + "/monitor", Sink: `retry_min: "20ms", retry_max: "50ms"`})
	n := &network{site: s, t: t}
	n.nc, _ = s.connect()
	for range 20 {
		s.accept("URAL", exampleEvent)
	}
	await(t, s.proxima.Monitor, 20)
	n.out("uralsib", "no such host", 3)
	eventually(t, 10*time.Second, func() string { return fmt.Sprintf("20 events wait: %+v", n.status("uralsib")) },
		func() bool { return n.status("uralsib").Waiting == 20 })
	if st := n.status("uralsib"); st.Delivered != 0 {
		t.Errorf("%+v", st)
	}
}
