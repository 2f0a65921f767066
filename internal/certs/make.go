package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Names of the authorities: one for the programs, one for the terminals, so that a
// sink's certificate does not open the terminal port, nor a terminal's the broker.
const (
	CA         = "ca"
	TerminalCA = "terminals-ca"
	Server     = "server"
	Terminal   = "terminal"
)

// Organization is in the subject of every certificate: the broker knows a program
// as CN=<program>,O=Vestnik.
const Organization = "Vestnik"

// Plan is what Make writes.
type Plan struct {
	Hosts    []string // names and addresses of the server
	Programs []string // clients of the broker
	Life     time.Duration
	Now      time.Time
}

// Written is a certificate that Make has written, or left as it was.
type Written struct {
	Name, About string
	NotAfter    time.Time
	Kept        bool
}

// Make writes into dir, as NAME.pem and NAME.key, two authorities, the server's
// certificate, one for each program and one for a terminal. What is there is
// left alone, so that removing a pair and calling Make renews it. Keys are readable by
// their owner only.
func Make(dir string, p Plan) ([]Written, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	m := maker{dir: dir, plan: p}
	ca := m.authority(CA, "signs the server and the programs: keep ca.key elsewhere")
	terminals := m.authority(TerminalCA, "signs the terminals: keep its key elsewhere, too")
	m.issue(ca, Server, "the broker and the terminal port with TLS", serverCert(p.Hosts))
	for _, name := range p.Programs {
		m.issue(ca, name, "client of the broker", clientCert())
	}
	m.issue(terminals, Terminal, "client of the terminal port with TLS", clientCert())
	return m.written, m.err
}

type maker struct {
	dir     string
	plan    Plan
	written []Written
	err     error // the first; nothing is done after it
}

// signer is an authority.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (m *maker) authority(name, about string) *signer {
	t := &x509.Certificate{IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	m.issue(nil, name, about, t)
	if m.err != nil {
		return nil
	}
	s, err := readSigner(m.path(name, ".pem"), m.path(name, ".key"))
	if err != nil {
		m.err = err
	}
	return s
}

func serverCert(hosts []string) *x509.Certificate {
	t := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// clientCert has no alternative names: verify_and_map would look at them before the
// subject (DESIGN fact 11).
func clientCert() *x509.Certificate {
	return &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

func (m *maker) path(name, ext string) string { return filepath.Join(m.dir, name+ext) }

// issue writes a pair unless it is there; by nil = it signs itself.
func (m *maker) issue(by *signer, name, about string, t *x509.Certificate) {
	if m.err != nil {
		return
	}
	kept, err := m.there(name)
	if err == nil && !kept {
		err = m.write(by, name, t)
	}
	if err == nil {
		var cert *x509.Certificate
		cert, err = readCert(m.path(name, ".pem"))
		if err == nil {
			m.written = append(m.written, Written{name, about, cert.NotAfter, kept})
		}
	}
	m.err = err
}

// there tells whether both files exist; one alone is an error.
func (m *maker) there(name string) (bool, error) {
	_, cert := os.Lstat(m.path(name, ".pem"))
	_, key := os.Lstat(m.path(name, ".key"))
	switch {
	case cert == nil && key == nil:
		return true, nil
	case errors.Is(cert, os.ErrNotExist) && errors.Is(key, os.ErrNotExist):
		return false, nil
	case name == CA || name == TerminalCA:
		return false, fmt.Errorf("%s: its key is not there, so nothing can be signed: bring %s.key back, or use an empty folder", m.path(name, ".pem"), name)
	}
	return false, fmt.Errorf("%s.pem and %s.key go together, only one is there: remove or bring back", m.path(name, ""), name)
}

func (m *maker) write(by *signer, name string, t *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("make serial number: %w", err)
	}
	t.SerialNumber, t.Subject = serial, pkix.Name{CommonName: name, Organization: []string{Organization}}
	t.NotBefore, t.NotAfter = m.plan.Now.Add(-time.Hour), m.plan.Now.Add(m.plan.Life)
	if by == nil {
		by = &signer{t, key}
	} else if t.NotAfter.After(by.cert.NotAfter) {
		t.NotAfter = by.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, key.Public(), by.key)
	if err != nil {
		return fmt.Errorf("sign %s: %w", name, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write key of %s: %w", name, err)
	}
	return errors.Join(
		put(m.path(name, ".key"), "PRIVATE KEY", secret, 0o600),
		put(m.path(name, ".pem"), "CERTIFICATE", der, 0o644))
}

// put never overwrites.
func put(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: der}), f.Sync(), f.Close())
}

func readCert(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, plain(path, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: holds no certificate in PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return cert, nil
}

func readSigner(cert, key string) (*signer, error) {
	p, err := Pair(cert, key)
	if err != nil {
		return nil, err
	}
	k, ok := p.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !p.Leaf.IsCA {
		return nil, fmt.Errorf("%s: is not an authority that vestnik certs made", cert)
	}
	return &signer{p.Leaf, k}, nil
}
