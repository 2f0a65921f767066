package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/certs"
	"vestnik/internal/e2e/netns"
	"vestnik/streams"
)

// A cluster is a hub: three stock nats-servers as processes, in a network namespace of
// their own. Each terminal has a wire to it.
type cluster struct {
	t       *testing.T
	dir     string
	space   *netns.Space
	wires   map[string]*netns.Wire // by terminal
	servers []*process
	js      jetstream.JetStream // of account CENTRAL; no wire between
	arrived *arrivals
}

const clusterSize = 3

// newCluster starts a hub without EVT, for these terminals.
func newCluster(t *testing.T, seed uint64, terminals ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), space: netns.New(t), wires: map[string]*netns.Wire{}, servers: make([]*process, clusterSize)}
	hosts := []string{"127.0.0.1"}
	for i, atm := range terminals {
		w := c.space.Wire(seed + uint64(i))
		c.wires[atm] = w
		hosts = append(hosts, w.There.String())
	}
	if _, err := certs.Make(filepath.Join(c.dir, "tls"), certs.Plan{Hosts: hosts, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	for i := range c.servers {
		if err := os.WriteFile(c.file(i), []byte(fmt.Sprintf(clusterText, i, c.dir)+hubtest.Accounts(terminals...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.startAll()
	c.connect()
	c.ready()
	return c
}

// withEvt is newCluster with the stream, and somebody who follows it.
func withEvt(t *testing.T, seed uint64, terminals ...string) *cluster {
	t.Helper()
	c := newCluster(t, seed, terminals...)
	c.makeEvt(streams.HubOptions{})
	c.arrived = follow(t, c.js)
	return c
}

func (c *cluster) makeEvt(o streams.HubOptions) {
	c.t.Helper()
	o.Replicas = clusterSize
	if _, err := c.js.CreateStream(c.t.Context(), streams.EvtConfig(o)); err != nil {
		c.t.Fatal(err)
	}
}

// The configuration of deploy/hub with plain users. Nothing is advertised: each terminal
// comes by its own wire.
const clusterText = `
server_name: "hub-%[1]d"
listen: "127.0.0.1:422%[1]d"
http: "127.0.0.1:822%[1]d"
leafnodes { listen: "0.0.0.0:742%[1]d", no_advertise: true
  tls { cert_file: "%[2]s/tls/server.pem", key_file: "%[2]s/tls/server.key", timeout: 20 } }
cluster { name: hub, listen: "127.0.0.1:622%[1]d", routes: ["nats://127.0.0.1:6220", "nats://127.0.0.1:6221", "nats://127.0.0.1:6222"] }
jetstream { store_dir: "%[2]s/hub-%[1]d", domain: hub, sync_interval: always
  limits { batch { max_inflight_per_stream: 2000, max_inflight_total: 4000, timeout: "60s" } } }
ping_interval: "10s"
`

func (c *cluster) file(i int) string { return filepath.Join(c.dir, fmt.Sprintf("hub-%d.conf", i)) }

func (c *cluster) startAll() {
	c.t.Helper()
	for i := range c.servers {
		c.launch(i)
	}
	for _, p := range c.servers {
		p.logged(c.t, "Server is ready")
	}
}

func (c *cluster) launch(i int) {
	c.t.Helper()
	c.servers[i] = startBy(c.t, "nats-server", exec.Command(program("nats-server"), "-c", c.file(i)), c.space.Start)
}

// start starts servers that are dead.
func (c *cluster) start(list ...int) {
	c.t.Helper()
	for _, i := range list {
		c.launch(i)
	}
	for _, i := range list {
		c.servers[i].logged(c.t, "Server is ready")
	}
}

// kill is kill -9 of servers.
func (c *cluster) kill(list ...int) {
	c.t.Helper()
	for _, i := range list {
		c.servers[i].kill()
	}
}

// connect connects the bank, to whichever server is there.
func (c *cluster) connect() {
	c.t.Helper()
	nc, err := nats.Connect("nats://127.0.0.1:4220,nats://127.0.0.1:4221,nats://127.0.0.1:4222", nats.SetCustomDialer(c.space),
		nats.UserInfo(hubtest.Bank, hubtest.Password), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.IgnoreDiscoveredServers())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	if c.js, err = jetstream.New(nc); err != nil {
		c.t.Fatal(err)
	}
}

// ready waits until the hub makes streams.
func (c *cluster) ready() {
	c.t.Helper()
	var err error
	eventually(c.t, 60*time.Second, func() string { return fmt.Sprintf("the hub makes streams: %v", err) }, func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		_, err = c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: clusterSize})
		if err == nil {
			err = c.js.DeleteStream(ctx, "PROBE")
		}
		return err == nil
	})
}

// leader is the server that leads EVT.
func (c *cluster) leader() (leader int) {
	c.t.Helper()
	eventually(c.t, 30*time.Second, say("EVT has a leader"), func() bool {
		leader = c.leaderNow()
		return leader >= 0
	})
	return leader
}

// leaderNow is -1 where there is none, or nobody who knows.
func (c *cluster) leaderNow() (leader int) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	s, err := c.js.Stream(ctx, streams.EvtStream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return -1
	}
	if n, err := fmt.Sscanf(s.CachedInfo().Cluster.Leader, "hub-%d", &leader); n != 1 || err != nil || !c.running(leader) {
		return -1
	}
	return leader
}

func (c *cluster) running(i int) bool {
	select {
	case <-c.servers[i].ended:
		return false
	default:
		return true
	}
}

// linkedConf is the nats.conf of a terminal of this hub.
func (c *cluster) linkedConf(atm, listen string) string {
	var urls []string
	for i := range c.servers {
		urls = append(urls, fmt.Sprintf("%q", fmt.Sprintf("tls://%s:%s@%s:742%d", atm, hubtest.Password, c.wires[atm].There, i)))
	}
	return fmt.Sprintf(linkedText, listen, atm, strings.Join(urls, ", "), filepath.Join(c.dir, "tls", "ca.pem"))
}

const linkedText = `listen: %q
server_name: "edge-%[2]s"
jetstream { store_dir: data, domain: "edge-%[2]s" }
leafnodes { reconnect: "1s", remotes: [ { urls: [%[3]s]
  tls { ca_file: %[4]q, timeout: 20 }
  deny_imports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"], deny_exports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"] } ] }
ping_interval: "5s"
`
