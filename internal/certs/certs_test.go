package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func plan() Plan {
	return Plan{Hosts: []string{"atm.bank.example", "127.0.0.1"}, Programs: []string{"router"}, Life: 90 * 24 * time.Hour, Now: time.Now()}
}

func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls")
	if _, err := Make(dir, plan()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func filesOf(dir string) Files {
	return Files{Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"), CA: filepath.Join(dir, "terminals-ca.pem")}
}

// What Make writes can be verified for its use, and for no other.
func TestMake(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for name, want := range map[string]struct {
		by  string
		use x509.ExtKeyUsage
	}{
		"server": {CA, x509.ExtKeyUsageServerAuth}, "router": {CA, x509.ExtKeyUsageClientAuth}, "terminal": {TerminalCA, x509.ExtKeyUsageClientAuth},
	} {
		cert, err := readCert(filepath.Join(dir, name+".pem"))
		if err != nil {
			t.Fatal(err)
		}
		for _, ca := range []string{CA, TerminalCA} {
			for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				pool, err := Pool(filepath.Join(dir, ca+".pem"))
				if err != nil {
					t.Fatal(err)
				}
				_, err = cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{use}})
				if good := ca == want.by && use == want.use; (err == nil) != good {
					t.Errorf("%s by %s for use %d: %v", name, ca, use, err)
				}
			}
		}
		if name != "server" && len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) > 0 {
			t.Errorf("%s has alternative names: the broker would map those", name)
		}
		if got := cert.Subject.String(); got != "CN="+name+",O=Vestnik" {
			t.Errorf("subject %s", got)
		}
	}
	server, _ := readCert(filepath.Join(dir, "server.pem"))
	for _, host := range plan().Hosts {
		if err := server.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
}

// A second call changes nothing; a pair that was removed is made anew by the same authority.
func TestMakeKeepsAndRenews(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	before := contents(t, dir)
	written, err := Make(dir, plan())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range written {
		if !w.Kept {
			t.Errorf("%s was written again", w.Name)
		}
	}
	if after := contents(t, dir); len(after) != len(before) || !equal(before, after) {
		t.Error("files have changed")
	}
	for _, ext := range []string{".pem", ".key"} {
		if err := os.Remove(filepath.Join(dir, "router"+ext)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Make(dir, plan()); err != nil {
		t.Fatal(err)
	}
	after := contents(t, dir)
	if after["router.pem"] == before["router.pem"] || after["ca.pem"] != before["ca.pem"] {
		t.Error("not renewed by the same authority")
	}
	if runtime.GOOS != "windows" {
		for name := range after {
			info, _ := os.Stat(filepath.Join(dir, name))
			if strings.HasSuffix(name, ".key") && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %o", name, info.Mode().Perm())
			}
		}
	}
	_ = os.Remove(filepath.Join(dir, "ca.key"))
	_ = os.Remove(filepath.Join(dir, "router.pem"))
	if _, err := Make(dir, plan()); err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("without the authority's key: %v", err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}

func equal(a, b map[string]string) bool {
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return true
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(Files)
		want  string
	}{
		"no certificate": {func(f Files) { _ = os.Remove(f.Cert) }, "server.pem: no such file"},
		"no key":         {func(f Files) { _ = os.Remove(f.Key) }, "server.key: no such file"},
		"other key":      {func(f Files) { copyFile(t, filepath.Join(filepath.Dir(f.Key), "router.key"), f.Key) }, "private key does not match"},
		"of a client": {func(f Files) {
			copyFile(t, filepath.Join(filepath.Dir(f.Key), "router.key"), f.Key)
			copyFile(t, filepath.Join(filepath.Dir(f.Key), "router.pem"), f.Cert)
		}, "server.pem: is not for servers"},
		"no authority": {func(f Files) { _ = os.WriteFile(f.CA, []byte("x"), 0o600) }, "terminals-ca.pem: holds no certificate in PEM"},
		"key for all":  {func(f Files) { _ = os.Chmod(f.Key, 0o604) }, "everybody on this computer may read or change it (mode 0604): chmod o= "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && name == "key for all" {
				t.Skip("no modes on Windows")
			}
			f := filesOf(folder(t))
			c.spoil(f)
			if _, err := Open(f, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "old")
	old := plan()
	old.Now = time.Now().Add(-200 * 24 * time.Hour)
	if _, err := Make(dir, old); err == nil || !strings.Contains(err.Error(), "expired on") {
		t.Errorf("an authority that has expired: %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Broken files are refused and told of, the old ones stay in force; good ones take
// effect without a restart, the authority of the clients included.
func TestReplaced(t *testing.T) {
	t.Parallel()
	dir, other := folder(t), folder(t)
	f := filesOf(dir)
	log := &book{}
	h, err := Open(f, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, h)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })

	old := serial(t, addr, dir, dir)
	if err := os.WriteFile(f.Cert, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "refusal in the log", func() bool { return log.has("changed certificates refused, the old ones stay in force") })
	if now := serial(t, addr, dir, dir); now != old || old == "" {
		t.Errorf("serial %q, was %q", now, old)
	}
	for _, name := range []string{"server.pem", "server.key", "terminals-ca.pem"} {
		copyFile(t, filepath.Join(other, name), filepath.Join(dir, name))
	}
	until(t, "good ones in force", func() bool { return log.has("changed certificates are in force") })
	if serial(t, addr, dir, other) != "" {
		t.Error("a client of the old authority is let in")
	}
	if now := serial(t, addr, other, other); now == old || now == "" {
		t.Errorf("serial %q, was %q", now, old)
	}
}

func listen(t *testing.T, h *Holder) string {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", h.Config())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if c.(*tls.Conn).Handshake() == nil {
					_, _ = c.Write([]byte("x"))
				}
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// serial is that of the server's certificate as a terminal sees it, "" if it is not let in.
func serial(t *testing.T, addr, terminal, server string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(terminal, "terminal.pem"), filepath.Join(terminal, "terminal.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Pool(filepath.Join(server, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{RootCAs: pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return ""
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return ""
	}
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

type book struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *book) has(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Contains(b.b.String(), text)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
