package config

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Marks tell whether a configuration, or a file that it names, has changed.
type Marks struct {
	Settings    string // of vestnik.conf and what it includes
	Server      string // of nats.conf and what it includes: the edge's business alone
	Credentials string // of the certificates, keys and credentials named
}

// Marks are those of the files as they were when they were read. rules.xml is
// not among them: its changes are the router's business.
func (c *Config) Marks() Marks { return c.marks }

// NamedFiles are those whose change Marks may show: vestnik.conf, nats.conf,
// certificates, keys and credentials.
func (c *Config) NamedFiles() []string {
	list := []string{c.File}
	if c.Server != "" {
		list = append(list, c.Server)
	}
	return append(list, c.credentials()...)
}

func (c *Config) credentials() []string {
	files := []string{c.NATS.Creds, c.NATS.CA, c.NATS.Cert, c.NATS.Key}
	for _, name := range sinkNames {
		if s := c.Sink(name); s != nil {
			files = append(files, s.CA)
		}
	}
	if c.NATS.Certs != "" { // a folder, with a pair for each program
		all, _ := filepath.Glob(filepath.Join(c.NATS.Certs, "*.*")) // the pattern is good
		files = append(files, all...)
	}
	var list []string
	for _, path := range files {
		if path != "" {
			list = append(list, path)
		}
	}
	return list
}

// mark reads the files once more than their users do; one that cannot be read is
// told by Files.
func (c *Config) mark() {
	server := ""
	if c.Server != "" {
		var err error
		c.server, _ = os.ReadFile(c.Server) // what cannot be read, its users tell
		if server, err = Syntax(c.Server); err != nil {
			server = sum(c.Server)
		}
	}
	c.marks = Marks{Settings: c.Digest, Server: server, Credentials: sum(c.credentials()...)}
}

func sum(files ...string) string {
	h := sha256.New()
	for _, path := range files {
		text, err := os.ReadFile(path)
		fmt.Fprintln(h, path, len(text), err)
		h.Write(text)
	}
	return string(h.Sum(nil))
}

// inForce is the ending of a nats.conf that is in force and not on the disk any more.
const inForce = ".in-force"

// Again is the configuration for a program that goes back to it: where nats.conf has been
// replaced meanwhile, its old text stands beside it and is used.
func (c *Config) Again() (*Config, error) {
	text, err := os.ReadFile(c.Server)
	if c.Server == "" || err == nil && bytes.Equal(text, c.server) || strings.HasSuffix(c.Server, inForce) {
		return c, nil
	}
	again := *c
	again.Server += inForce
	if err := os.WriteFile(again.Server, c.server, 0o600); err != nil {
		return nil, fmt.Errorf("keep the settings of the server that are in force: %w", err)
	}
	return &again, nil
}
