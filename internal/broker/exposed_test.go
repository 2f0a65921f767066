package broker

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/certs"
)

func serverFile(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := certs.Make(dir, certs.Plan{Hosts: []string{"localhost", "127.0.0.1"}, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nats.conf")
	text = strings.ReplaceAll(text, "DIR", filepath.ToSlash(dir))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const tlsBlock = "tls { cert_file: \"DIR/server.pem\", key_file: \"DIR/server.key\" }\n"

// Off this computer only with TLS and with users; the place is told.
func TestExposed(t *testing.T) {
	t.Parallel()
	const users = "authorization { users: [ { user: a, password: b } ] }\n"
	for text, want := range map[string]string{
		`listen: "127.0.0.1:0"`:                                  "",
		`listen: "localhost:4222"`:                               "",
		`listen: "[::1]:4222"`:                                   "",
		`listen: "0.0.0.0:4222"`:                                 ":1:1: 0.0.0.0:4222 is reached from other computers, but tls { … } and users (authorization or accounts) is missing",
		"server_name: x\nport: 4222":                             ":2:1: 0.0.0.0:4222 is reached",
		"server_name: x\n  host: \"10.1.2.3\"":                   ":2:3: 10.1.2.3:4222 is reached",
		`server_name: x`:                                         ":1:1: 0.0.0.0:4222 is reached",
		users + `listen: "0.0.0.0:4222"`:                         ":2:1: 0.0.0.0:4222 is reached from other computers, but tls { … } is missing",
		tlsBlock + `listen: "0.0.0.0:4222"`:                      "but users (authorization or accounts) is missing",
		tlsBlock + "allow_non_tls: true\n" + users + "net: \"\"": "but tls { … } is missing",
		tlsBlock + users + `listen: "0.0.0.0:4222"`:              "",
	} {
		file := serverFile(t, text)
		err := Check(file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), file)) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// Whatever nats.conf asks of others, the edge gets in, into the account with the
// store; nobody else does by its way.
func TestOwnLogin(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, problem string }{
		"nobody is asked": {"", ""},
		"password":        {"authorization { user: a, password: b }", ""},
		"token":           {"authorization { token: abc }", ""},
		"users":           {"authorization { users: [ { user: a, password: b } ] }", ""},
		"accounts":        {"accounts { A { users: [ { user: a, password: b } ] }, S { jetstream: enabled } }", ""},
		"with limits":     {"accounts { A { users: [ { user: a, password: b } ] }, S { jetstream { max_streams: 9 } } }", ""},
		"no store":        {"accounts { A { users: [ { user: a, password: b } ] } }", "one account needs jetstream: enabled, here 0 have it"},
		"two stores":      {"accounts { A { jetstream: enabled }, B { jetstream: on } }", "here 2 have it A, B"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := Start(Options{File: serverFile(t, "listen: \"127.0.0.1:-1\"\njetstream { store_dir: data }\n"+c.text), Log: zerolog.Nop()})
			if c.problem != "" {
				if err == nil || !strings.Contains(err.Error(), c.problem) {
					t.Errorf("%v, want %s", err, c.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			nc, err := b.Connect("edge")
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "X", Subjects: []string{"x"}}); err != nil {
				t.Error(err)
			}
			if other, err := nats.Connect(b.ClientURL(), nats.NoReconnect()); c.text != "" && err == nil {
				other.Close()
				t.Error("a stranger is let in")
			}
		})
	}
}

// A folder of certificates gives each program its own, and who has none the next.
func TestAs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := certs.Make(dir, certs.Plan{Programs: []string{"router", "observer"}, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	r := Remote{Certs: dir}
	if got := r.As("router"); got.CA != in("ca.pem") || got.Cert != in("router.pem") || got.Key != in("router.key") {
		t.Errorf("%+v", got)
	}
	if got := r.As("operator", "observer"); got.Cert != in("observer.pem") {
		t.Errorf("%+v", got)
	}
	if got := (Remote{Certs: dir, CA: "ca", Cert: "c", Key: "k"}).As("router"); got.CA != "ca" || got.Cert != "c" || got.Key != "k" {
		t.Errorf("%+v", got)
	}
	if got := (Remote{URL: "x"}).As("router"); got != (Remote{URL: "x"}) {
		t.Errorf("%+v", got)
	}
}

// The broker's certificates are replaced while it runs; who is connected stays so.
func TestRenewed(t *testing.T) {
	t.Parallel()
	file := serverFile(t, tlsBlock+"listen: \"127.0.0.1:-1\"\njetstream { store_dir: data }\n")
	dir := filepath.Dir(file)
	b, err := Start(Options{File: file, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	serial := func() string {
		nc, err := nats.Connect(b.ClientURL(), nats.RootCAs(filepath.Join(dir, "ca.pem")), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		state, err := nc.TLSConnectionState()
		if err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber.String()
	}
	old := serial()
	for _, name := range []string{"server.pem", "server.key"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := certs.Make(dir, certs.Plan{Hosts: []string{"localhost", "127.0.0.1"}, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); serial() == old; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the old certificate stays")
		}
	}
}
