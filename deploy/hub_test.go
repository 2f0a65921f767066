package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/certs"
	"vestnik/internal/twin"
	"vestnik/streams"
)

// example matches a line of an example: # and the line as it would be, or deeper in a
// block; prose has one blank behind #.
var example = regexp.MustCompile(`(?m)^( *)#([^ \n]|  )`)

// linked is an example for a hub in force, for the terminal with that number.
func linked(t *testing.T, name, atm, hub string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := Files.ReadFile(name)
	if name == ServerTLS {
		if _, err := certs.Make(filepath.Join(dir, CertsFolder), certs.Plan{Hosts: []string{"localhost"}, Programs: []string{"operator"}, Life: time.Hour, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
		text, err = Secure(Server, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := example.ReplaceAllString(string(text), "$1$2")
	for _, c := range [][2]string{{"00000040", atm}, {"tls://hub.bank.example:7422", hub}, {"credentials: \"/etc/vestnik/" + atm + ".creds\"", ""},
		{`tls { ca_file: "/etc/vestnik/hub-ca.pem" }`, ""}, {"127.0.0.1:4222", "127.0.0.1:-1"}} {
		if !strings.Contains(out, c[0]) {
			t.Fatalf("%s has no %s", name, c[0])
		}
		out = strings.ReplaceAll(out, c[0], c[1])
	}
	path := filepath.Join(dir, Server)
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hubConf is a hub as docs/hub.md has it: terminals in an account of their own, each with
// its rights, and the bank's programs in another.
const hubConf = `
listen: "127.0.0.1:-1"
server_name: hub
leafnodes {
  listen: "127.0.0.1:-1"
  authorization { users: [ { user: t40, password: p40, account: EDGES }, { user: t41, password: p41, account: EDGES } ] }
}
accounts {
  EDGES {
    users: [
      { user: t40, password: p40, permissions {
        publish { allow: ["twin.00000040", "_R_.>"] }
        subscribe { allow: ["cmd.00000040.>", "twin.00000040", "$SRV.>"] } } }
      { user: t41, password: p41, permissions {
        publish { allow: ["twin.00000041", "_R_.>"] }
        subscribe { allow: ["cmd.00000041.>", "twin.00000041", "$SRV.>"] } } }
    ]
    exports: [ { service: "cmd.>" }, { service: "$SRV.>", response: stream } ]
  }
  CENTRAL {
    users: [ { user: bank, password: bank } ]
    imports: [ { service: { account: EDGES, subject: "cmd.>" } }, { service: { account: EDGES, subject: "$SRV.>" } } ]
  }
}
`

func runHub(t *testing.T) (s *server.Server, leaf func(atm string) string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hub.conf")
	if err := os.WriteFile(file, []byte(hubConf), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if s, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	v, err := s.Varz(nil)
	if err != nil || !s.ReadyForConnections(20*time.Second) {
		t.Fatalf("the hub does not start: %v", err)
	}
	return s, func(atm string) string {
		u := url.URL{Scheme: "nats", User: url.UserPassword("t"+atm, "p"+atm), Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(v.LeafNode.Port))}
		return u.String()
	}
}

// terminalOf is an edge by one of the examples, with a service that answers commands with
// its number and the identity that it was told.
func terminalOf(t *testing.T, file, atm string) *broker.Server {
	t.Helper()
	b, err := broker.Start(broker.Options{File: file, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	svc, err := micro.AddService(nc, micro.Config{Name: "terminal", Version: "1.0.0", Metadata: map[string]string{"atm": atm}})
	if err != nil {
		t.Fatal(err)
	}
	answer := micro.HandlerFunc(func(r micro.Request) {
		_ = r.Respond([]byte(atm + " " + streams.CmdAccount(r.Subject())))
	})
	for _, subject := range []string{streams.Cmd(atm, "GET_STATUS"), streams.CmdAs(atm)} {
		if err := svc.AddEndpoint("GET_STATUS", answer, micro.WithEndpointSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.Subscribe("ctl.>", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	return b
}

// SPEC 7, 10: with the examples for a hub in force, its commands reach the terminal that
// they name and no other, its services are found, and nothing else of the edge is
// reached; twins see each other.
func TestHub(t *testing.T) {
	t.Parallel()
	for _, name := range []string{Server, ServerTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, leaf := runHub(t)
			var edges []*broker.Server
			for _, atm := range []string{"00000040", "00000041"} {
				edges = append(edges, terminalOf(t, linked(t, name, atm, leaf(atm[6:])), atm))
			}
			bank, err := nats.Connect(s.ClientURL(), nats.UserInfo("bank", "bank"))
			if err != nil {
				t.Fatal(err)
			}
			defer bank.Close()
			for _, atm := range []string{"00000040", "00000041"} {
				eventually(t, "an answer of "+atm, func() bool { return strings.HasPrefix(ask(bank, streams.Cmd(atm, "GET_STATUS")), atm) })
			}
			for range 200 { // each by the one that it names
				for _, atm := range []string{"00000040", "00000041"} {
					got := ask(bank, streams.Cmd(atm, "GET_STATUS"))
					if want := map[string]string{Server: atm + " ", ServerTLS: atm + " HUB"}[name]; got != want {
						t.Fatalf("%s: %s", atm, got)
					}
				}
			}
			reachesNoMore(t, bank)
			discovers(t, bank)
			twins(t, edges[0], terminalOf(t, linked(t, name, "00000040", leaf("40")), "00000040"))
		})
	}
}

func ask(nc *nats.Conn, subject string) string {
	m, err := nc.Request(subject, nil, 2*time.Second)
	if err != nil {
		return err.Error()
	}
	return string(m.Data)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// reachesNoMore: a command that nobody has, and what is not a command, nobody answers.
func reachesNoMore(t *testing.T, bank *nats.Conn) {
	t.Helper()
	for _, subject := range []string{"cmd.00000042.GET_STATUS", "ctl.edge.status", "ctl.edge.stop", "$JS.API.INFO", "$JS.edge-00000040.API.INFO",
		"$JS.edge-00000040.API.STREAM.LIST", "as.HUB.cmd.00000040.GET_STATUS", "as.OPERATOR.cmd.00000040.GET_STATUS", "guard.WHOLE", "guard.STREAM.CREATE.ROUTE", "in.00000040.URAL", "$KV.CONTROL.all"} {
		if _, err := bank.Request(subject, nil, 500*time.Millisecond); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s: %v, want no responders", subject, err)
		}
	}
}

// discovers finds the service of each edge, as nats micro info does.
func discovers(t *testing.T, bank *nats.Conn) {
	t.Helper()
	for _, subject := range []string{"$SRV.INFO.terminal", "$SRV.STATS.terminal", "$SRV.PING.terminal", "$SRV.INFO"} {
		found, inbox := map[string]bool{}, nats.NewInbox()
		sub, err := bank.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := bank.PublishRequest(subject, inbox, nil); err != nil {
			t.Fatal(err)
		}
		for len(found) < 2 {
			m, err := sub.NextMsg(5 * time.Second)
			if err != nil {
				t.Fatalf("%s: %v after %v", subject, err, found)
			}
			var info micro.Info
			if err := json.Unmarshal(m.Data, &info); err != nil {
				t.Fatal(err)
			}
			found[info.Metadata["atm"]] = true
		}
	}
}

// twins find each other with the terminal's rights only.
func twins(t *testing.T, a, b *broker.Server) {
	t.Helper()
	changes := make(chan bool, 64)
	for i, e := range []*broker.Server{a, b} {
		nc, err := e.ConnectLink("twin")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		self := twin.Identity{Instance: fmt.Sprint("edge", i), Born: time.Unix(int64(i+1), 0), Started: time.Unix(9, 0)}
		ended := make(chan error, 1)
		go func() {
			ended <- twin.Watch(t.Context(), nc, twin.Options{ATM: "40", Self: self, Links: e.Links, Log: zerolog.Nop(),
				Changed: func(w *twin.Twin) { changes <- w != nil && w.Younger == (i == 1) }})
		}()
		t.Cleanup(func() {
			if err := <-ended; err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
				t.Error(err)
			}
		})
	}
	for range 2 {
		select {
		case right := <-changes:
			if !right {
				t.Error("the elder is to refuse, or the younger is not")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the twins do not find each other")
		}
	}
}
