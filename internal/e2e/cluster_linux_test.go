package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/certs"
	"vestnik/internal/e2e/netns"
	"vestnik/streams"
)

// A cluster is a hub: three stock nats-servers as processes. In a network namespace of
// their own each terminal has a wire to it.
type cluster struct {
	t       *testing.T
	dir     string
	space   *netns.Space           // nil = here, on loopback
	wires   map[string]*netns.Wire // by terminal
	ports   [clusterSize]ports
	servers []*process
	js      jetstream.JetStream // of account CENTRAL; no wire between
	arrived *arrivals
}

// ports of a server.
type ports struct{ client, monitor, leaf, route string }

const clusterSize = 3

// newCluster starts a hub without EVT, in a namespace, for these terminals.
func newCluster(t *testing.T, seed uint64, terminals ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), space: netns.New(t), wires: map[string]*netns.Wire{}}
	hosts := []string{"127.0.0.1"}
	for i, atm := range terminals {
		w := c.space.Wire(seed + uint64(i))
		c.wires[atm] = w
		hosts = append(hosts, w.There.String())
	}
	for i := range c.ports {
		c.ports[i] = ports{fmt.Sprint(4220 + i), fmt.Sprint(8220 + i), fmt.Sprint(7420 + i), fmt.Sprint(6220 + i)}
	}
	c.begin(hosts, "", terminals)
	return c
}

// localCluster starts a hub on loopback; more are settings of its block leafnodes.
func localCluster(t *testing.T, more string, terminals ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir()}
	free := func() string {
		_, port, _ := net.SplitHostPort(freeAddr(t))
		return port
	}
	for i := range c.ports {
		c.ports[i] = ports{free(), free(), free(), free()}
	}
	c.begin([]string{"127.0.0.1"}, more, terminals)
	return c
}

// begin writes the configurations and starts the servers.
func (c *cluster) begin(hosts []string, more string, terminals []string) {
	c.t.Helper()
	if _, err := certs.Make(filepath.Join(c.dir, "tls"), certs.Plan{Hosts: hosts, Life: time.Hour, Now: time.Now()}); err != nil {
		c.t.Fatal(err)
	}
	listen, routes := "127.0.0.1", []string{}
	if c.space != nil {
		listen = "0.0.0.0"
	}
	for _, p := range c.ports {
		routes = append(routes, fmt.Sprintf("%q", "nats://127.0.0.1:"+p.route))
	}
	for i, p := range c.ports {
		text := fmt.Sprintf(clusterText, i, c.dir, p.client, p.monitor, listen, p.leaf, more, p.route, strings.Join(routes, ", ")) + hubtest.Accounts(terminals...)
		if err := os.WriteFile(c.file(i), []byte(text), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	c.servers = make([]*process, clusterSize)
	c.start(0, 1, 2)
	c.connect()
	c.ready()
}

// withEvt is newCluster with the stream, and somebody who follows it.
func withEvt(t *testing.T, seed uint64, terminals ...string) *cluster {
	t.Helper()
	c := newCluster(t, seed, terminals...)
	c.makeEvt(streams.HubOptions{})
	c.arrived = follow(t, c.js, arrivalsEvery)
	return c
}

func (c *cluster) makeEvt(o streams.HubOptions) {
	c.t.Helper()
	o.Replicas = clusterSize
	var err error // a server that has just come may count as offline for a moment
	eventually(c.t, 30*time.Second, func() string { return fmt.Sprintf("EVT is made: %v", err) }, func() bool {
		_, err = c.js.CreateStream(c.t.Context(), streams.EvtConfig(o))
		return err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
	})
}

// The configuration of deploy/hub with plain users. Nothing is advertised: each terminal
// comes by its own wire.
const clusterText = `
server_name: "hub-%[1]d"
listen: "127.0.0.1:%[3]s"
http: "127.0.0.1:%[4]s"
leafnodes { listen: "%[5]s:%[6]s", no_advertise: true
  tls { cert_file: "%[2]s/tls/server.pem", key_file: "%[2]s/tls/server.key", timeout: 20 }
  %[7]s }
cluster { name: hub, listen: "127.0.0.1:%[8]s", routes: [%[9]s] }
jetstream { store_dir: "%[2]s/hub-%[1]d", domain: hub, sync_interval: always
  limits { batch { max_inflight_per_stream: 2000, max_inflight_total: 4000, timeout: "60s" } } }
ping_interval: "10s"
`

func (c *cluster) file(i int) string { return filepath.Join(c.dir, fmt.Sprintf("hub-%d.conf", i)) }

func (c *cluster) launch(i int) {
	c.t.Helper()
	start := (*exec.Cmd).Start
	if c.space != nil {
		start = c.space.Start
	}
	c.servers[i] = startBy(c.t, "nats-server", exec.Command(program("nats-server"), "-c", c.file(i)), start)
}

// start starts servers that are not running.
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
	var urls []string
	for _, p := range c.ports {
		urls = append(urls, "nats://127.0.0.1:"+p.client)
	}
	options := []nats.Option{nats.UserInfo(hubtest.Bank, hubtest.Password), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond),
		nats.IgnoreDiscoveredServers(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if c.space != nil {
		options = append(options, nats.SetCustomDialer(c.space))
	}
	nc, err := nats.Connect(strings.Join(urls, ","), options...)
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
	host, urls := "127.0.0.1", []string{}
	if w := c.wires[atm]; w != nil {
		host = w.There.String()
	}
	for _, p := range c.ports {
		urls = append(urls, fmt.Sprintf("%q", fmt.Sprintf("tls://%s:%s@%s:%s", atm, hubtest.Password, host, p.leaf)))
	}
	return fmt.Sprintf(linkedText, listen, atm, strings.Join(urls, ", "), filepath.Join(c.dir, "tls", "ca.pem"))
}

const linkedText = `listen: %q
server_name: "edge-%[2]s"
jetstream { store_dir: data, domain: "edge-%[2]s" }
leafnodes { reconnect: "1s", remotes: [ { urls: [%[3]s]
  tls { ca_file: %[4]q, timeout: 20 }
  deny_imports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"], deny_exports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"] } ] }
`

// end ends a server by a signal, and waits.
func (c *cluster) end(i int, signal syscall.Signal) {
	_ = c.servers[i].cmd.Process.Signal(signal) // it may be gone
	<-c.servers[i].ended
}

// links is how many leaf nodes a server has.
func (c *cluster) links(t *testing.T, i int) int {
	t.Helper()
	var v struct{ Leafnodes int }
	c.monitor(t, i, "varz", &v)
	return v.Leafnodes
}

// subscriptions is how many a server knows.
func (c *cluster) subscriptions(t *testing.T, i int) int {
	t.Helper()
	var v struct{ Subscriptions int }
	c.monitor(t, i, "varz", &v)
	return v.Subscriptions
}

// monitor asks a server's monitoring port.
func (c *cluster) monitor(t *testing.T, i int, what string, v any) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	if c.space != nil {
		client.Transport = &http.Transport{DisableKeepAlives: true,
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) { return c.space.Dial(network, addr) }}
	}
	var err error
	eventually(t, time.Minute, func() string { return fmt.Sprintf("server %d says %s: %v", i, what, err) }, func() bool {
		var r *http.Response
		if r, err = client.Get("http://127.0.0.1:" + c.ports[i].monitor + "/" + what); err != nil {
			return false
		}
		defer r.Body.Close()
		err = json.NewDecoder(r.Body).Decode(v)
		return err == nil
	})
}

// stores waits until EVT takes messages, and says when it did: a message that must be
// refused, but by the stream's leader.
func (c *cluster) stores(t *testing.T) (at time.Time) {
	t.Helper()
	eventually(t, 2*time.Minute, say("EVT takes messages"), func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := c.js.Publish(ctx, streams.Evt("0", "0", "other", "probe"), nil, jetstream.WithExpectLastSequence(1<<62))
		at = time.Now()
		var refused *jetstream.APIError
		return errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
	})
	return at
}

// current waits until every server has all of EVT.
func (c *cluster) current(t *testing.T) {
	t.Helper()
	eventually(t, 2*time.Minute, say("every server has all of EVT"), func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := c.js.Stream(ctx, streams.EvtStream)
		if err != nil || s.CachedInfo().Cluster == nil || len(s.CachedInfo().Cluster.Replicas) != clusterSize-1 {
			return false
		}
		return !slices.ContainsFunc(s.CachedInfo().Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
	})
}
