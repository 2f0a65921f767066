// Package certs makes and holds certificates: a Holder reads a server's files again
// when they change, so that a certificate is replaced without a restart, and Make
// writes the certificates of a test or a small installation.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"
)

// Files of a server that asks its clients for certificates, in PEM.
type Files struct {
	Cert, Key string
	CA        string // whose clients are let in, "" = nobody is asked
}

// set is what a look at the files gave.
type set struct {
	cert tls.Certificate
	pool *x509.CertPool
}

// read takes all files or none.
func (f Files) read() (*set, error) {
	if err := Private(f.Key); err != nil {
		return nil, err
	}
	cert, err := Pair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	if err := forServers(cert.Leaf); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Cert, err)
	}
	s := &set{cert: cert}
	if f.CA != "" {
		s.pool, err = Pool(f.CA)
	}
	return s, err
}

// forServers refuses what no client would accept: a certificate for clients only, or one
// without the names of a server.
func forServers(c *x509.Certificate) error {
	serves := len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0
	for _, u := range c.ExtKeyUsage {
		serves = serves || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	}
	switch {
	case !serves:
		return errors.New("is not for servers (extended key usage)")
	case len(c.DNSNames)+len(c.IPAddresses) == 0:
		return errors.New("names no host (subject alternative name)")
	}
	return nil
}

// Pair reads a certificate with its key, and refuses one that has expired.
func Pair(cert, key string) (tls.Certificate, error) {
	for _, path := range []string{cert, key} {
		if err := readable(path); err != nil {
			return tls.Certificate{}, err
		}
	}
	p, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return p, fmt.Errorf("%s: %w", cert, err)
	}
	if end := p.Leaf.NotAfter; time.Now().After(end) {
		return p, fmt.Errorf("%s: expired on %s", cert, end.UTC().Format(time.DateOnly))
	}
	return p, nil
}

// Pool reads certificates to trust.
func Pool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, plain(path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: holds no certificate in PEM", path)
	}
	return pool, nil
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return plain(path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is not a file", path)
	}
	return nil
}

// plain is an error of the file system with the path in front and once only.
func plain(path string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if errors.Is(err, os.ErrNotExist) {
		err = missing{}
	}
	return fmt.Errorf("%s: %w", path, err)
}

// missing reads the same on every operating system.
type missing struct{}

func (missing) Error() string   { return "no such file" }
func (missing) Is(e error) bool { return e == os.ErrNotExist }
