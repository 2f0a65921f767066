package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const shipped = "../../deploy/vestnik.conf"

var commentedOut = regexp.MustCompile(`(?m)^(\s*)#(\S)`)

// uncommented is the shipped file with every "#key: value" in force.
func uncommented(t *testing.T) *Config {
	t.Helper()
	text, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vestnik.conf")
	if err := os.WriteFile(path, commentedOut.ReplaceAll(text, []byte("$1$2")), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every setting that the decoder knows stands in the shipped file, in its place.
func TestShippedFileHasEverySetting(t *testing.T) {
	t.Parallel()
	c := uncommented(t)
	for _, path := range known(t) {
		if _, there := c.places[path]; !there && !elsewhere[path] {
			t.Errorf("%s is not in %s", path, shipped)
		}
	}
}

// elsewhere are second places of a setting, told of in the text.
var elsewhere = map[string]bool{
	"MSG_SIGNATURE":                   true,
	"RemoteMonitoringUrl":             true,
	"RemoteMonitoringTimeoutSec":      true,
	"RemoteCommandsUrl":               true,
	"sinks.mailbox":                   true, // later
	"sinks.uralsib.RemoteCommandsUrl": true, // proxima's
	"sinks.uralsib.format":            true,
	"sinks.uralsib.batch":             true,
	"sinks.uralsib.poll_parallel":     true,
}

// known lists the decoder's settings by path.
func known(t *testing.T) []string {
	t.Helper()
	groups := map[string][]setting{
		"":                    top(Default(), &registry{}),
		"terminal":            terminal(&Terminal{}),
		"nats":                nats(&NATS{}),
		"hub":                 hub(&Hub{}),
		"terminal.listen_tls": listenTLS(&ListenTLS{}),
		"sinks":               sinks(&Sinks{}),
		"sinks.uralsib":       uralsib(DefaultSink()),
		"sinks.proxima":       proxima(DefaultSink()),
		"store":               store(&Store{}),
		"log":                 logs(&Log{}),
		"health":              health(&Health{}),
		"mailbox":             mailbox(),
	}
	var paths []string
	for group, settings := range groups {
		for _, s := range settings {
			path := strings.TrimPrefix(group+"."+s.names[0], ".")
			paths = append(paths, path)
			if _, listed := groups[path]; takesBlock(s) && !listed && path != "terminal.signatures" {
				t.Errorf("block %s is missing from this test", path)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

func takesBlock(s setting) bool {
	r := &reader{c: &Config{places: map[string]place{}}}
	s.take(r, node{name: "x", value: 1.5})
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return strings.Contains(p.Message, "must be a block") })
}

// What the shipped file shows as a default is the default.
func TestShippedFileShowsTheDefaults(t *testing.T) {
	t.Parallel()
	plain, err := Load(shipped)
	if err != nil {
		t.Fatal(err)
	}
	want, got := flatten("", reflect.ValueOf(*plain)), flatten("", reflect.ValueOf(*uncommented(t)))
	for _, name := range sortedKeys(got) {
		if got[name] != want[name] && !slices.Contains(examples, name) {
			t.Errorf("%s: shown as %s, is %s", name, got[name], want[name])
		}
	}
}

// examples have no default.
var examples = []string{
	"CommandsFolder", "Health.Listen", "Health.Programs", "Log.Format", "NATS.APIPrefix", "NATS.CA", "NATS.Cert", "NATS.Certs", "NATS.Creds", "NATS.Key", "Rules", "Server",
	"Sinks.Proxima.CA", "Sinks.Uralsib.CA", "Terminal.AllowPlainEvents",
	"Terminal.TLS.CA", "Terminal.TLS.Cert", "Terminal.TLS.Key", "Terminal.TLS.Listen",
}

// The file that is shipped for programs at the hub is one.
func TestShippedHub(t *testing.T) {
	t.Parallel()
	c, err := Load("../../deploy/hub/vestnik.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !c.AtHub() || c.Hub.Replicas != 3 || c.Sinks.Proxima.PollParallel != 64 || len(c.Warnings) > 0 {
		t.Errorf("%+v, warnings %v", c.Hub, c.Warnings)
	}
}
