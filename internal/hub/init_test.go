package hub_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"vestnik/internal/hub"
)

func options() hub.Options {
	return hub.Options{Hosts: []string{"hub1.example", "hub2.example", "hub3.example"}, Ports: []hub.Ports{hub.DefaultPorts}, Cluster: "hub", Sinks: []string{"uralsib"}, Life: 48 * time.Hour, Now: time.Now()}
}

// What Init writes a nats-server takes, and it says what durability and safety need; what
// signs lies in its own folder, and secrets are readable by their owner only.
func TestInit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "hub")
	f, err := hub.Init(dir, options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hub.Init(dir, options()); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a hub made twice: %v", err)
	}
	for i, conf := range f.Confs() {
		opts := &server.Options{}
		if err := opts.ProcessConfigFile(conf); err != nil {
			t.Fatal(err)
		}
		for what, ok := range map[string]bool{
			"synced always": opts.SyncAlways, "domain": opts.JetStreamDomain == hub.Domain, "TLS": opts.TLSConfig != nil && opts.LeafNode.TLSConfig != nil,
			"routes verified": opts.Cluster.TLSConfig != nil && opts.Cluster.TLSConfig.ClientCAs != nil, "two routes": len(opts.Routes) == 2, "batches": opts.JetStreamLimits.MaxBatchInflightPerStream == 2000 && opts.JetStreamLimits.MaxBatchInflightTotal == 4000,
			"pings": opts.PingInterval == 10*time.Second, "operator": len(opts.TrustedOperators) == 1, "name": opts.ServerName == f.Site.Servers[i].Name, "resolver": opts.AccountResolver != nil,
		} {
			if !ok {
				t.Errorf("%s: %s is missing", conf, what)
			}
		}
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		in := filepath.Base(filepath.Dir(path))
		signs := strings.HasPrefix(string(text), "SO") || strings.HasPrefix(string(text), "SA")
		secret := signs || strings.Contains(string(text), "PRIVATE KEY") || strings.Contains(string(text), "NKEY SEED")
		if signs && in != "keys" {
			t.Errorf("%s signs", path)
		}
		if secret && runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %04o", path, info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A terminal's credentials say whose they are and nothing of rights; revocations of what has
// expired are dropped, and no two JWTs of an account are of one second.
func TestEnroll(t *testing.T) {
	t.Parallel()
	f, err := hub.Init(filepath.Join(t.TempDir(), "hub"), options())
	if err != nil {
		t.Fatal(err)
	}
	out, now := t.TempDir(), time.Now()
	for _, life := range []time.Duration{time.Second, time.Hour} {
		if _, err := f.Enroll(hub.Enrolment{Terminal: "40", Out: out, Life: life, Account: "HUB", Now: now}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "00000040", hub.TerminalCreds))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		t.Fatal(err)
	}
	u, err := jwt.DecodeUserClaims(token)
	if err != nil || !u.HasEmptyPermissions() || !u.Tags.Contains("atm:00000040") || u.IssuerAccount != f.Site.Accounts[hub.Edges] {
		t.Errorf("%v %v", u, err)
	}
	conf, err := os.ReadFile(filepath.Join(out, "00000040", hub.TerminalConf))
	if err != nil || !strings.Contains(string(conf), `account: "HUB"`) {
		t.Errorf("%s %v", conf, err)
	}
	all, err := f.Credentials()
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	first := revoked(t, f, all, now)
	second := revoked(t, f, all[1:], now.Add(2*time.Second))
	if len(first.Revocations) != 2 || len(second.Revocations) != 1 {
		t.Errorf("revocations: %v, then %v", first.Revocations, second.Revocations)
	}
	if second.IssuedAt-first.IssuedAt < 2 {
		t.Errorf("JWTs of %d and %d", first.IssuedAt, second.IssuedAt)
	}
	if all, err = f.Credentials(); err != nil || all[1].Good(now) || all[1].Revoked.IsZero() {
		t.Errorf("%+v %v", all[1], err)
	}
	started, err := os.ReadFile(filepath.Join(f.Dir, "hub-3", "accounts.conf"))
	if err != nil || strings.Count(string(started), "eyJ") < 5 {
		t.Errorf("accounts.conf: %s %v", started, err)
	}
}

func revoked(t *testing.T, f *hub.Folder, list []hub.Credential, now time.Time) *jwt.AccountClaims {
	t.Helper()
	tokens, err := f.Revoke(list, now)
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	a, err := jwt.DecodeAccountClaims(tokens[0])
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Names that are no token of a subject are refused, as is a list that would not fit.
func TestSubscriberNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"soc": true, "A_b-9": true, "": false, "a.b": false, "a>": false, "*": false, "a b": false, "я": false, "../x": false, strings.Repeat("a", 65): false} {
		if err := hub.CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := hub.Subscriber{Name: "x", Terminals: []string{"40", "41"}, Devices: []string{"CDM"}, Severities: []string{"critical", "warning"}}
	if got := strings.Join(s.Subjects(), " "); got != "evt.00000040.7.critical.* evt.00000040.7.warning.* evt.00000041.7.critical.* evt.00000041.7.warning.*" {
		t.Error(got)
	}
}
