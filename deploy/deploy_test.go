package deploy

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"vestnik/internal/certs"
	"vestnik/internal/config"
	"vestnik/internal/rules"
)

// The shipped configuration works unedited.
func TestConfigLoads(t *testing.T) {
	t.Parallel()
	c, err := config.Load(Config)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if err := c.Files(); err != nil {
		t.Error(err)
	}
	if c.Server != absolute(t, Server) || c.Rules != absolute(t, Rules) {
		t.Errorf("names %s and %s, not the files beside it", c.Server, c.Rules)
	}
	if _, err := rules.Load(c.Rules, rules.WithSinks(c.SinkNames()...)); err != nil {
		t.Error(err)
	}
}

// A stock nats-server takes the shipped nats.conf as it is, keeps every promise
// of durability with it, and listens where vestnik.conf connects to.
func TestServerTakesItsFile(t *testing.T) {
	t.Parallel()
	o := &server.Options{}
	if err := o.ProcessConfigFile(Server); err != nil { // warnings included
		t.Fatal(err)
	}
	if !o.JetStream || !o.SyncAlways || o.StoreDir == "" {
		t.Errorf("jetstream %v, sync always %v, store %q", o.JetStream, o.SyncAlways, o.StoreDir)
	}
	if o.Host != "127.0.0.1" || o.Port != 4222 {
		t.Errorf("listens on %s:%d", o.Host, o.Port)
	}
}

// What is embedded is what init writes: every file that the package names.
func TestFilesAreEmbedded(t *testing.T) {
	t.Parallel()
	for _, name := range []string{Config, Server, Rules} {
		if text, err := Files.ReadFile(name); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

// With TLS the files differ from the others only where they must, and nobody is let
// in who is not known.
func TestSecure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := certs.Make(filepath.Join(dir, CertsFolder), certs.Plan{Hosts: []string{"localhost"}, Programs: []string{"router"}, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Config, Server, Rules} {
		text, err := Secure(name, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, Config))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Files(); err != nil {
		t.Error(err)
	}
	if c.NATS.Certs == "" || c.NATS.APIPrefix != "vestnik.API" || c.Terminal.TLS.Listen == "" {
		t.Errorf("%+v %+v", c.NATS, c.Terminal.TLS)
	}
	o := &server.Options{}
	if err := o.ProcessConfigFile(filepath.Join(dir, Server)); err != nil { // warnings included
		t.Fatal(err)
	}
	if !o.TLSMap || o.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || !o.SyncAlways || o.NoAuthUser != "" || o.Host != "127.0.0.1" {
		t.Errorf("map %v, verify %v, sync %v, %q, %s", o.TLSMap, o.TLSConfig.ClientAuth, o.SyncAlways, o.NoAuthUser, o.Host)
	}
	for _, u := range o.Users {
		if u.Account.Name == "VESTNIK" || u.Permissions == nil || u.Permissions.Publish == nil || len(u.Permissions.Publish.Allow) == 0 || len(u.Permissions.Subscribe.Allow) == 0 {
			t.Errorf("user %s of %s has no allow lists", u.Username, u.Account.Name)
		}
	}
	if want := len(config.KnownSinks()) + 3; len(o.Users) != want {
		t.Errorf("%d users, want %d", len(o.Users), want)
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
