package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"vestnik/internal/broker"

	"github.com/spf13/cobra"
)

// Where a command looks for its broker: the first that is given counts. Nobody
// listens at any of these; the error says which was tried.
func TestWhereToConnect(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("NATS_URL", "")
	t.Setenv("NATS_CONTEXT", "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := func(name, port string) {
		write(name, `atm: 40, terminal { signatures { URAL: [uralsib] } }, nats { url: "nats://127.0.0.1:`+port+`" }`)
	}
	tried := func(args ...string) string {
		t.Helper()
		root := newRoot()
		root.AddCommand(&cobra.Command{Use: "probe", RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := connect(cmd)
			if err == nil {
				l.close()
			}
			return err
		}})
		root.SetArgs(append([]string{"probe"}, args...))
		err := root.Execute()
		if err == nil {
			t.Fatalf("%v: connected", args)
		}
		return err.Error()
	}
	want := func(text string, args ...string) {
		t.Helper()
		if got := tried(args...); !strings.Contains(got, text) {
			t.Errorf("%v: %s\nwant %s", args, got, text)
		}
	}
	conf("other.conf", "2")
	want("nats://127.0.0.1:2 (from nats { url } of other.conf)", "-c", "other.conf")
	want("none.conf: no such file", "-c", "none.conf")
	conf("vestnik.conf", "1")
	want("nats://127.0.0.1:1 (from nats { url } of vestnik.conf)")
	want("nats://***@127.0.0.1:3 (from --server or NATS_URL)", "--server", "nats://user:secret@127.0.0.1:3", "-c", "other.conf")
	want("unknown context \"far\"", "--context", "far", "-c", "other.conf")
	write("xdg/nats/context/far.json", `{"url":"nats://127.0.0.1:4"}`)
	write("xdg/nats/context.txt", "far")
	want("no connection by NATS context far: ", "--context", "far")
	want("no connection by the selected NATS context: ", "--context", "")
	t.Setenv("NATS_CONTEXT", "far")
	want("no connection by NATS context far: ")
	t.Setenv("NATS_URL", "nats://127.0.0.1:5")
	want("nats://127.0.0.1:5 (from --server or NATS_URL)")
	write("vestnik.conf", "atm: [")
	want("nats://127.0.0.1:5 (from --server or NATS_URL)") // a broken file that nobody asked for
	want("vestnik.conf:1", "-c", "vestnik.conf")
}

func TestWithoutPassword(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"nats://127.0.0.1:4222":                   "nats://127.0.0.1:4222",
		"nats://me:p@ss@h:1, tls://token@h:2?a=b": "nats://***@h:1,tls://***@h:2",
		"me:secret@host":                          "***@host",
		"nats://[::1]:4222":                       "nats://[::1]:4222",
	} {
		if got := broker.Shown(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
