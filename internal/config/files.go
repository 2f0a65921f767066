package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"vestnik/internal/certs"
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
	check("nats.creds", c.NATS.Creds, secret)
	check("nats.certs", c.NATS.Certs, func(dir string) error { return authorities(filepath.Join(dir, "ca.pem")) })
	check("nats.ca", c.NATS.CA, authorities)
	check("nats.cert", c.NATS.Cert, func(cert string) error { return pair(cert, c.NATS.Key) })
	check("nats.key", c.NATS.Key, private)
	port := c.Terminal.TLS
	check("terminal.listen_tls.cert", port.Cert, func(cert string) error { return pair(cert, port.Key) })
	check("terminal.listen_tls.key", port.Key, private)
	check("terminal.listen_tls.ca", port.CA, authorities)
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

// secret is a file that not everybody may read.
func secret(path string) error {
	if err := readable(path); err != nil {
		return err
	}
	return certs.Private(path)
}

// private is secret for a key; that it is not there, the check of its certificate says.
func private(path string) error {
	if err := certs.Private(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func authorities(path string) error {
	_, err := certs.Pool(path)
	return err
}

func pair(cert, key string) error {
	_, err := certs.Pair(cert, key)
	return err
}
