package deploy

import (
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

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

func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
