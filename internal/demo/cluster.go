package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/hub"
	"vestnik/streams"
)

// cluster is a hub of three servers in this process, as vestnik hub init writes it:
// operator mode, TLS, the accounts of deploy/hub.
type cluster struct {
	*hub.Folder

	mu      sync.Mutex
	servers []*server.Server // nil where stopped
}

const (
	hubServers = 3
	startLimit = time.Minute // for a cluster to agree on its first leader, on a busy computer
)

// newCluster writes a hub's files.
func newCluster(dir string) (*cluster, error) {
	o := hub.Options{Local: true, Cluster: "hub", Life: 24 * time.Hour, Now: time.Now()}
	ports, err := freePorts(3 * hubServers)
	if err != nil {
		return nil, err
	}
	for i := range hubServers {
		o.Hosts = append(o.Hosts, "127.0.0.1")
		o.Ports = append(o.Ports, hub.Ports{Client: ports[3*i], Leaf: ports[3*i+1], Route: ports[3*i+2]})
	}
	f, err := hub.Init(filepath.Join(dir, "hub"), o)
	if err != nil {
		return nil, err
	}
	return &cluster{Folder: f, servers: make([]*server.Server, hubServers)}, nil
}

// freePorts are free at the moment: the servers of a cluster must know each other's before
// they listen.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// start starts a server that is stopped. On a busy computer it may take more than one attempt.
func (c *cluster) start(i int) error {
	s, err := hub.Start(c.Conf(i), false)
	for end := time.Now().Add(startLimit); err != nil && time.Now().Before(end); {
		s, err = hub.Start(c.Conf(i), false)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers[i] = s
	return nil
}

// startAll starts all servers at once.
func (c *cluster) startAll() error {
	errs := make([]error, hubServers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = c.start(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stop stops a server; its store stays.
func (c *cluster) stop(i int) {
	c.mu.Lock()
	s := c.servers[i]
	c.servers[i] = nil
	c.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// close stops all servers at once: one after the other they would look for new leaders.
func (c *cluster) close() error {
	var wg sync.WaitGroup
	for i := range c.servers {
		wg.Go(func() { c.stop(i) })
	}
	wg.Wait()
	return nil
}

// connect connects with credentials, to any server, and again when that is stopped.
func (c *cluster) connect(name, creds string, more ...nats.Option) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name(name), nats.UserCredentials(creds), nats.RootCAs(c.CA()), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	nc, err := nats.Connect(c.URL(), append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return nc, nil
}

// makeEvt makes the stream of all events on all servers, as soon as they agree.
func makeEvt(ctx context.Context, js jetstream.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		one, done := context.WithTimeout(ctx, 5*time.Second)
		_, err := js.CreateOrUpdateStream(one, streams.EvtConfig(streams.HubOptions{Replicas: hubServers}))
		done()
		if err == nil {
			return nil
		}
		if !passes(ctx, 50*time.Millisecond) {
			return fmt.Errorf("make %s: %w", streams.EvtStream, errors.Join(err, ctx.Err()))
		}
	}
}

// links tells at which server each terminal is linked, by its number.
func (c *cluster) links() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := map[string]string{}
	for i, s := range c.servers {
		if s == nil {
			continue
		}
		leafs, err := s.Leafz(nil)
		if err != nil {
			continue
		}
		for _, l := range leafs.Leafs {
			if name, ok := strings.CutPrefix(l.Name, "edge-"); ok && len(name) >= 8 {
				at[name[:8]] = c.Site.Servers[i].Name
			}
		}
	}
	return at
}

// up tells which servers run.
func (c *cluster) up() (up [hubServers]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.servers {
		up[i] = s != nil
	}
	return up
}

// index is that of a server by its name, -1 if there is none.
func (c *cluster) index(name string) int {
	for i, s := range c.Site.Servers {
		if s.Name == name {
			return i
		}
	}
	return -1
}
