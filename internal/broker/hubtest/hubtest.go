// Package hubtest gives tests a real hub: a cluster of three nats-servers with JetStream in
// this process, with the accounts of deploy/hub (CENTRAL, EDGES, SUBS) as plain users.
package hubtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// Hub is a cluster. Its servers can be stopped and started one by one.
type Hub struct {
	Servers []*server.Server // nil where stopped

	t     testing.TB
	files []string
	leafs []int // ports
	ports []int
}

// Password is that of every user.
const Password = "hubtest"

// Bank is the user of account CENTRAL, Subscriber that of SUBS; a terminal's is its number.
const (
	Bank       = "bank"
	Subscriber = "sub"
)

// Start runs a hub of n servers (1 or 3) for these terminals until the test ends, and
// waits until its JetStream answers. It makes no stream: see MakeEvt.
func Start(t testing.TB, n int, terminals ...string) *Hub {
	t.Helper()
	h := &Hub{t: t, Servers: make([]*server.Server, n)}
	dir, routes := t.TempDir(), freePorts(t, 3*n)
	var peers []string
	for i := range n {
		peers = append(peers, fmt.Sprintf("nats://127.0.0.1:%d", routes[i]))
	}
	for i := range n {
		h.ports, h.leafs = append(h.ports, routes[n+i]), append(h.leafs, routes[2*n+i])
		text := fmt.Sprintf(head, i, routes[n+i], routes[2*n+i], filepath.Join(dir, fmt.Sprint(i))) + accounts(terminals)
		if n > 1 {
			text += fmt.Sprintf("cluster { name: hub, listen: \"127.0.0.1:%d\", routes: [%q] }\n", routes[i], strings.Join(peers, `", "`))
			text = strings.ReplaceAll(text, `\"`, `"`)
		}
		file := filepath.Join(dir, fmt.Sprintf("hub-%d.conf", i))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.files = append(h.files, file)
	}
	t.Cleanup(func() {
		for i := range h.Servers {
			h.Stop(i)
		}
	})
	for i := range n {
		h.StartServer(i)
	}
	h.Ready()
	return h
}

const head = `
server_name: "hub-%d"
listen: "127.0.0.1:%d"
leafnodes { listen: "127.0.0.1:%d" }
jetstream { store_dir: %q, domain: hub, sync_interval: always, limits { batch { max_inflight_per_stream: 2000, max_inflight_total: 4000, timeout: "60s" } } }
ping_interval: "5s"
ping_max: 30
`

// accounts is the accounts block of deploy/hub, in plain form.
func accounts(terminals []string) string {
	var users strings.Builder
	for _, t := range terminals {
		t = streams.Terminal(t)
		fmt.Fprintf(&users, `{ user: %q, password: %q, permissions {
        publish { allow: ["evt.%[3]s.>", "evtlast.%[3]s.>", "twin.%[3]s", "_R_.>"] }
        subscribe { allow: ["cmd.%[3]s.>", "_INBOX.%[3]s.>", "twin.%[3]s", "$SRV.>"] } } }
`, t, Password, t)
	}
	return fmt.Sprintf(`
accounts {
  CENTRAL { jetstream: enabled
    users: [ { user: bank, password: %[1]s } ]
    exports: [ { service: "evt.>" }, { service: "$JS.API.DIRECT.GET.EVT.evt.>" }, { stream: "live.evt.>" } ]
    imports: [ { service: { account: EDGES, subject: "cmd.>" } }, { service: { account: EDGES, subject: "$SRV.>" } } ] }
  EDGES {
    users: [ %[2]s ]
    exports: [ { service: "cmd.>" }, { service: "$SRV.>", response: stream } ]
    imports: [ { service: { account: CENTRAL, subject: "evt.>" } },
      { service: { account: CENTRAL, subject: "$JS.API.DIRECT.GET.EVT.evt.>" }, to: "evtlast.>" } ] }
  SUBS { users: [ { user: sub, password: %[1]s } ], imports: [ { stream: { account: CENTRAL, subject: "live.evt.>" }, to: "evt.>" } ] }
  SYS { users: [ { user: sys, password: %[1]s } ] }
}
system_account: SYS
`, Password, users.String())
}

// StartServer starts a server that is stopped.
func (h *Hub) StartServer(i int) {
	h.t.Helper()
	opts, err := server.ProcessConfigFile(h.files[i])
	if err != nil {
		h.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		h.t.Fatal(err)
	}
	s.Start()
	h.Servers[i] = s
	if !s.ReadyForConnections(20 * time.Second) {
		h.t.Fatal("a server of the hub does not start")
	}
}

// Stop stops a server; its store stays.
func (h *Hub) Stop(i int) {
	if s := h.Servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		h.Servers[i] = nil
	}
}

// Ready waits until the hub's JetStream answers.
func (h *Hub) Ready() {
	h.t.Helper()
	nc := h.Connect(Bank)
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) { // between two looks
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: len(h.Servers)})
		if err == nil {
			err = js.DeleteStream(ctx, "PROBE")
		}
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			h.t.Fatalf("the hub's JetStream is not ready: %v", err)
		}
	}
}

// MakeEvt makes EVT, on all servers.
func (h *Hub) MakeEvt(o streams.HubOptions) jetstream.Stream {
	h.t.Helper()
	if o.Replicas == 0 {
		o.Replicas = len(h.Servers)
	}
	s, err := h.JetStream().CreateStream(h.t.Context(), streams.EvtConfig(o))
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// JetStream is that of account CENTRAL.
func (h *Hub) JetStream() jetstream.JetStream {
	h.t.Helper()
	nc := h.Connect(Bank)
	h.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	return js
}

// Connect connects as a user, to any server.
func (h *Hub) Connect(user string) *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect(h.URL(), nats.UserInfo(user, Password), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	return nc
}

// URL names all servers.
func (h *Hub) URL() string {
	var list []string
	for _, p := range h.ports {
		list = append(list, fmt.Sprintf("nats://127.0.0.1:%d", p))
	}
	return strings.Join(list, ",")
}

// LeafURLs are where the terminal's edge links to, with its user and password.
func (h *Hub) LeafURLs(terminal string) (list []string) {
	for _, p := range h.leafs {
		u := url.URL{Scheme: "nats", User: url.UserPassword(streams.Terminal(terminal), Password), Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(p))}
		list = append(list, u.String())
	}
	return list
}

// LeafBlock is the block of nats.conf that links an edge to the hub.
func (h *Hub) LeafBlock(terminal string) string {
	return fmt.Sprintf(`leafnodes { reconnect: "1s", remotes: [ { urls: ["%s"],
  deny_imports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"], deny_exports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"] } ] }
`, strings.Join(h.LeafURLs(terminal), `", "`))
}

func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
