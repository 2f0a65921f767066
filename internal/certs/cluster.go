package certs

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Node is a server of a cluster.
type Node struct {
	Dir   string   // where its files go
	Hosts []string // names and addresses that others call it by
}

// MakeCluster writes an authority into dir as ca.pem and ca.key, and into each node's
// folder ca.pem, server.pem and server.key. A node is a server to its clients and a client of
// the other nodes, so its certificate is good for both. What is there is left alone, as by
// Make; expired pairs too: remove them first.
func MakeCluster(dir string, nodes []Node, life time.Duration, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	m := maker{dir: dir, plan: Plan{Life: 10 * life, Now: now}}
	ca := m.authority(CA, "signs the servers")
	if m.err != nil {
		return m.err
	}
	text, err := os.ReadFile(m.path(CA, ".pem"))
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	for _, n := range nodes {
		if err := os.MkdirAll(n.Dir, 0o700); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		of := maker{dir: n.Dir, plan: Plan{Life: life, Now: now}}
		t := serverCert(n.Hosts)
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
		of.issue(ca, Server, "a server of the cluster", t)
		if of.err != nil {
			return of.err
		}
		if err := os.WriteFile(filepath.Join(n.Dir, CA+".pem"), text, 0o644); err != nil {
			return fmt.Errorf("write the authority's certificate: %w", err)
		}
	}
	return nil
}
