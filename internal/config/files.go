package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// Files checks that the files that the configuration names are there and that
// certificates can be used: what -t and `vestnik check` tell beyond Load. What is
// wrong comes back as Problems.
func (c *Config) Files() error {
	var ps Problems
	check := func(setting, path string, test func(string) error) {
		if path == "" {
			return
		}
		if err := test(path); err != nil {
			ps.add(c.at(setting), "%s: %v", setting, err)
		}
	}
	check("server", c.Server, readable)
	check("rules", c.Rules, readable)
	check("nats.creds", c.NATS.Creds, readable)
	check("nats.ca", c.NATS.CA, authorities)
	check("nats.cert", c.NATS.Cert, func(cert string) error { return pair(cert, c.NATS.Key) })
	for _, name := range sinkNames {
		if s := c.Sink(name); s != nil {
			check("sinks."+name+".ca", s.CA, authorities)
		}
	}
	return ps.err(c.File)
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

// authorities are certificates to trust, in PEM.
func authorities(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return plain(path, err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return fmt.Errorf("%s: holds no certificate in PEM", path)
	}
	return nil
}

func pair(cert, key string) error {
	for _, path := range []string{cert, key} {
		if err := readable(path); err != nil {
			return err
		}
	}
	p, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%s: %w", cert, err)
	}
	if end := p.Leaf.NotAfter; time.Now().After(end) {
		return fmt.Errorf("%s: expired on %s", cert, end.UTC().Format(time.DateOnly))
	}
	return nil
}
