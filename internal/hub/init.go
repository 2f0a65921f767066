package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"text/template"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"vestnik/deploy"
	"vestnik/internal/certs"
)

// Options of Init.
type Options struct {
	Hosts   []string      // of the servers: one, or an odd number
	Local   bool          // all on this computer, loopback only; Hosts is then not needed
	Ports   []Ports       // of each server; fewer = the last, counted up where Local
	Path    string        // where a server's folder will lie on the server; "" = where it is made
	Store   string        // of the streams on the server; "" = jetstream in Path
	Cluster string        // name
	Sinks   []string      // whose credentials are made
	Life    time.Duration // of certificates and of the programs' credentials
	Now     time.Time
}

// Ports of a server: for programs, for edges, for the other servers.
type Ports struct{ Client, Leaf, Route int }

// DefaultPorts are those of NATS.
var DefaultPorts = Ports{Client: 4222, Leaf: 7422, Route: 6222}

// Init writes a hub's folder and opens it. A folder that is there must be empty.
func Init(dir string, o Options) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find folder: %w", err)
	}
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return nil, fmt.Errorf("%s is not empty: a hub is made once, its keys cannot be made again", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look into %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	f := &Folder{Dir: dir, Site: Site{Cluster: o.Cluster, Servers: servers(dir, o), Accounts: map[string]string{}}}
	for _, step := range []func(Options) error{f.makeKeys, f.makeCerts, f.makeAccounts, f.makeRoles, f.writeTexts, f.writeSite} {
		if err := step(o); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// servers are those of the options, with their ports and paths.
func servers(dir string, o Options) (list []Server) {
	for i, host := range o.Hosts {
		ports, more := DefaultPorts, i
		if n := len(o.Ports); n > 0 {
			ports, more = o.Ports[min(i, n-1)], max(0, i-n+1)
		}
		if !o.Local {
			more = 0
		}
		s := Server{Name: fmt.Sprintf("hub-%d", i+1), Host: host, Client: ports.Client + more, Leaf: ports.Leaf + more, Route: ports.Route + more}
		s.Path = filepath.ToSlash(filepath.Join(dir, s.Name))
		if o.Path != "" && !o.Local {
			s.Path = o.Path
		}
		s.Store = path.Join(s.Path, "jetstream")
		if o.Store != "" && !o.Local {
			s.Store = o.Store
		}
		list = append(list, s)
	}
	return list
}

// makeKeys makes what signs.
func (f *Folder) makeKeys(Options) error {
	keys := []struct {
		file string
		make func() (nkeys.KeyPair, error)
		to   func(public string)
	}{
		{"operator", nkeys.CreateOperator, func(p string) { f.Site.Operator = p }},
		{"system", nkeys.CreateAccount, func(p string) { f.Site.Accounts[System] = p }},
		{"central", nkeys.CreateAccount, func(p string) { f.Site.Accounts[Central] = p }},
		{"edges", nkeys.CreateAccount, func(p string) { f.Site.Accounts[Edges] = p }},
		{"subs", nkeys.CreateAccount, func(p string) { f.Site.Accounts[Subs] = p }},
		{"terminal", nkeys.CreateAccount, func(p string) { f.Site.Terminal = p }},
	}
	for _, k := range keys {
		public, err := f.makeKey(k.file, k.make)
		if err != nil {
			return err
		}
		k.to(public)
	}
	return nil
}

// makeKey writes a key that signs, and returns its public part.
func (f *Folder) makeKey(file string, create func() (nkeys.KeyPair, error)) (string, error) {
	pair, err := create()
	if err != nil {
		return "", fmt.Errorf("make key %s: %w", file, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make key %s: %w", file, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("make key %s: %w", file, err)
	}
	return public, writeFile(f.path(keysDir, file+".nk"), append(seed, '\n'), 0o600)
}

// makeCerts makes the servers' certificates. The authority's key goes to those that sign.
func (f *Folder) makeCerts(o Options) error {
	var nodes []certs.Node
	for _, s := range f.Site.Servers {
		nodes = append(nodes, certs.Node{Dir: f.path(s.Name, "tls"), Hosts: certHosts(s.Host)})
	}
	if err := certs.MakeCluster(f.path(keysDir), nodes, o.Life, o.Now); err != nil {
		return err
	}
	text, err := os.ReadFile(f.path(keysDir, certs.CA+".pem"))
	if err != nil {
		return fmt.Errorf("read the authority's certificate: %w", err)
	}
	return writeFile(f.CA(), text, 0o644)
}

// certHosts: programs on the server itself may call it localhost.
func certHosts(host string) []string {
	return slices.Compact([]string{host, "localhost", "127.0.0.1", "::1"})
}

// makeAccounts signs the accounts.
func (f *Folder) makeAccounts(Options) error {
	key := f.Site.Accounts
	for _, a := range []*jwt.AccountClaims{systemAccount(key[System]), centralAccount(key[Central], key[Edges]),
		edgesAccount(key[Edges], key[Central], f.Site.Terminal), subsAccount(key[Subs], key[Central])} {
		if _, err := f.sign(a); err != nil {
			return err
		}
	}
	return nil
}

// sign signs an account and keeps it; what the servers start with follows.
func (f *Folder) sign(a *jwt.AccountClaims) (string, error) {
	operator, err := f.key("operator")
	if err != nil {
		return "", err
	}
	var found jwt.ValidationResults
	if a.Validate(&found); found.IsBlocking(true) {
		return "", fmt.Errorf("account %s: %w", a.Name, errors.Join(found.Errors()...))
	}
	text, err := a.Encode(operator)
	if err != nil {
		return "", fmt.Errorf("sign account %s: %w", a.Name, err)
	}
	if err := writeFile(f.path(jwtDir, a.Name+".jwt"), []byte(text+"\n"), 0o644); err != nil {
		return "", err
	}
	return text, nil
}

// makeRoles makes the credentials of programs and people.
func (f *Folder) makeRoles(o Options) error {
	for _, r := range roles(o.Sinks) {
		key, err := f.key(keyOf[r.account])
		if err != nil {
			return err
		}
		u, err := newUser(r.name, f.Site.Accounts[r.account])
		if err != nil {
			return err
		}
		u.claims.Permissions = r.permissions()
		u.claims.Expires = o.Now.Add(o.Life).Unix()
		if err := u.write(f.Creds(r.name), key); err != nil {
			return err
		}
	}
	return nil
}

// keyOf names the file of an account's key.
var keyOf = map[string]string{System: "system", Central: "central", Edges: "edges", Subs: "subs"}

func (f *Folder) writeSite(Options) error {
	text, err := json.MarshalIndent(f.Site, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", siteFile, err)
	}
	return writeFile(f.path(siteFile), append(text, '\n'), 0o644)
}

// writeTexts writes the servers' configurations and what explains the folder.
func (f *Folder) writeTexts(o Options) error {
	for i := range f.Site.Servers {
		if err := f.render("hub/"+ConfFile, f.Conf(i), f.confData(i, o.Local), 0o600); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"hub/README.md": "README.md", "hub/keys.md": keysDir + "/README.md"} {
		if err := f.render(from, f.path(to), nil, 0o644); err != nil {
			return err
		}
	}
	for _, role := range []string{Operator, Observer} {
		data := struct{ Role, URL string }{role, f.URL()}
		if err := f.render("hub/people.conf", f.path(role+".conf"), data, 0o644); err != nil {
			return err
		}
	}
	return f.writePreload()
}

// confData is what the template of a server's configuration is filled with.
func (f *Folder) confData(i int, local bool) any {
	s := f.Site.Servers[i]
	data := struct {
		Server
		Count           int
		Listen, Cluster string
		Routes          []string
		Advertise       bool
	}{Server: s, Count: len(f.Site.Servers), Listen: "0.0.0.0", Cluster: f.Site.Cluster, Advertise: !local}
	if local {
		data.Listen = s.Host
	}
	for _, other := range f.Site.Servers {
		if len(f.Site.Servers) > 1 && other.Name != s.Name {
			data.Routes = append(data.Routes, "tls://"+net.JoinHostPort(other.Host, strconv.Itoa(other.Route)))
		}
	}
	return data
}

// writePreload writes the accounts that each server starts with.
func (f *Folder) writePreload() error {
	type account struct{ Name, Key, JWT string }
	data := struct {
		Operator, System string
		Accounts         []account
	}{System: f.Site.Accounts[System]}
	operator, err := f.operatorJWT()
	if err != nil {
		return err
	}
	data.Operator = operator
	for _, name := range f.accountNames() {
		text, err := os.ReadFile(f.path(jwtDir, name+".jwt"))
		if err != nil {
			return fmt.Errorf("read account: %w", err)
		}
		data.Accounts = append(data.Accounts, account{name, f.Site.Accounts[name], string(bytes.TrimSpace(text))})
	}
	for _, s := range f.Site.Servers {
		if err := f.render("hub/"+accountsFile, f.path(s.Name, accountsFile), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// accountNames lists the accounts: the hub's own, then those of subscribers.
func (f *Folder) accountNames() []string {
	own := []string{System, Central, Edges, Subs}
	var more []string
	for name := range f.Site.Accounts {
		if !slices.Contains(own, name) {
			more = append(more, name)
		}
	}
	slices.Sort(more)
	return append(own, more...)
}

// operatorJWT is the operator as the servers know him: made once.
func (f *Folder) operatorJWT() (string, error) {
	path := f.path(jwtDir, "operator.jwt")
	if text, err := os.ReadFile(path); err == nil {
		return string(bytes.TrimSpace(text)), nil
	}
	pair, err := f.key("operator")
	if err != nil {
		return "", err
	}
	o := jwt.NewOperatorClaims(f.Site.Operator)
	o.Name, o.SystemAccount = "vestnik", f.Site.Accounts[System]
	text, err := o.Encode(pair)
	if err != nil {
		return "", fmt.Errorf("sign operator: %w", err)
	}
	return text, writeFile(path, []byte(text+"\n"), 0o644)
}

func (f *Folder) render(from, to string, data any, mode os.FileMode) error {
	t, err := template.ParseFS(deploy.Files, from)
	if err != nil {
		return fmt.Errorf("read embedded file: %w", err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, data); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return writeFile(to, text.Bytes(), mode)
}
