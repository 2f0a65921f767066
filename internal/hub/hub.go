// Package hub writes and looks after a hub, the central NATS cluster (SPEC 10): its
// servers' configuration in operator mode, credentials of terminals, programs and
// subscribers, their revocation, and the streams that the hub is to have.
//
// What belongs to a hub lies in one folder (Folder), on the computer of whoever enrols
// terminals. The servers hold no key that signs; they are told of changes by the system
// account.
package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// The accounts of a hub (DESIGN 3).
const (
	System  = "SYS"     // the servers, and who revokes
	Central = "CENTRAL" // JetStream, the bank's programs and people
	Edges   = "EDGES"   // terminals: leaf links only, no JetStream
	Subs    = "SUBS"    // subscribers, no JetStream
)

// Domain is that of the hub's JetStream.
const Domain = "hub"

// Names in a hub's folder.
const (
	siteFile = "hub.json"
	caFile   = "hub-ca.pem"
	keysDir  = "keys"
	credsDir = "creds"
	jwtDir   = "accounts"
	recFile  = "enrolled.jsonl"

	// ConfFile is a server's configuration, in the folder that has its name.
	ConfFile     = "hub.conf"
	accountsFile = "accounts.conf"
)

// Site is hub.json: what is to be known of a hub, nothing of it secret.
type Site struct {
	Cluster  string            `json:"cluster"`
	Servers  []Server          `json:"servers"`
	Operator string            `json:"operator"` // public key
	Accounts map[string]string `json:"accounts"` // public keys by name
	Terminal string            `json:"terminal"` // public key that signs terminals
}

// Server is one of the cluster.
type Server struct {
	Name   string `json:"name"`
	Host   string `json:"host"`
	Client int    `json:"client"` // ports
	Leaf   int    `json:"leaf"`
	Route  int    `json:"route"`
	Path   string `json:"path"`  // of its folder, on that server
	Store  string `json:"store"` // of its streams
}

// Folder is a hub's folder, open for use. Its methods are not for several goroutines, nor for
// several processes at a time.
type Folder struct {
	Dir  string
	Site Site
}

// Open reads the folder that Init wrote.
func Open(dir string) (*Folder, error) {
	text, err := os.ReadFile(filepath.Join(dir, siteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no hub's folder: it has no %s (vestnik hub init makes one)", dir, siteFile)
	}
	if err != nil {
		return nil, fmt.Errorf("open hub's folder: %w", err)
	}
	f := &Folder{Dir: dir}
	if err := json.Unmarshal(text, &f.Site); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, siteFile), err)
	}
	return f, nil
}

func (f *Folder) path(parts ...string) string {
	return filepath.Join(append([]string{f.Dir}, parts...)...)
}

// CA is the authority of the servers' certificates.
func (f *Folder) CA() string { return f.path(caFile) }

// Creds is the credentials file of a program or person: see Roles, and System.
func (f *Folder) Creds(role string) string { return f.path(credsDir, role+".creds") }

// Conf is the configuration of server i, from 0.
func (f *Folder) Conf(i int) string { return f.path(f.Site.Servers[i].Name, ConfFile) }

// Confs is that of all servers.
func (f *Folder) Confs() (list []string) {
	for i := range f.Site.Servers {
		list = append(list, f.Conf(i))
	}
	return list
}

// URL is where programs connect: all servers.
func (f *Folder) URL() string {
	var list []string
	for _, s := range f.Site.Servers {
		list = append(list, "tls://"+net.JoinHostPort(s.Host, strconv.Itoa(s.Client)))
	}
	return strings.Join(list, ",")
}

// LeafURLs is where edges link to: all servers.
func (f *Folder) LeafURLs() (list []string) {
	for _, s := range f.Site.Servers {
		list = append(list, "tls://"+net.JoinHostPort(s.Host, strconv.Itoa(s.Leaf)))
	}
	return list
}

// key reads a key that signs.
func (f *Folder) key(name string) (nkeys.KeyPair, error) {
	path := f.path(keysDir, name+".nk")
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not here: bring the folder keys back, or do this where it is kept", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	pair, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pair, nil
}

// account is an account as it is in force.
func (f *Folder) account(name string) (*jwt.AccountClaims, error) {
	path := f.path(jwtDir, name+".jwt")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return claims, nil
}
