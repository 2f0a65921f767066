// Package hubtest gives tests the hub that vestnik hub init writes: three nats-servers in
// operator mode with TLS, in this process. internal/broker/hubtest is the plain one.
package hubtest

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/hub"
	"vestnik/streams"
)

// Hub is a running cluster. Its servers can be stopped and started one by one.
type Hub struct {
	*hub.Folder
	Servers []*server.Server // nil where stopped
	t       testing.TB
}

// StartSecure runs a hub of n servers (1 or 3) until the test ends, and waits until its
// JetStream answers. It makes no stream: see MakeEvt.
func StartSecure(t testing.TB, n int) *Hub {
	t.Helper()
	o := hub.Options{Local: true, Cluster: "hub", Sinks: []string{"uralsib", "proxima"}, Life: 24 * time.Hour, Now: time.Now()}
	free := freePorts(t, 3*n)
	for i := range n {
		o.Hosts = append(o.Hosts, "127.0.0.1")
		o.Ports = append(o.Ports, hub.Ports{Client: free[3*i], Leaf: free[3*i+1], Route: free[3*i+2]})
	}
	f, err := hub.Init(filepath.Join(t.TempDir(), "hub"), o)
	if err != nil {
		t.Fatal(err)
	}
	h := &Hub{Folder: f, Servers: make([]*server.Server, n), t: t}
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

// StartServer starts a server that is stopped.
func (h *Hub) StartServer(i int) {
	h.t.Helper()
	s, err := hub.Start(h.Conf(i), false)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Servers[i] = s
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
	js := h.JetStream(hub.Operator)
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) { // between two looks
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: len(h.Servers)})
		if err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
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
	s, err := h.JetStream(hub.Operator).CreateStream(h.t.Context(), streams.EvtConfig(o))
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// JetStream is that of a role in CENTRAL.
func (h *Hub) JetStream(role string) jetstream.JetStream {
	h.t.Helper()
	js, err := jetstream.New(h.Connect(role))
	if err != nil {
		h.t.Fatal(err)
	}
	return js
}

// Connect connects as a role that has credentials in the hub's folder, to any server, until
// the test ends.
func (h *Hub) Connect(role string, more ...nats.Option) *nats.Conn {
	h.t.Helper()
	return h.ConnectCreds(h.Creds(role), more...)
}

// ConnectCreds connects with a credentials file.
func (h *Hub) ConnectCreds(file string, more ...nats.Option) *nats.Conn {
	h.t.Helper()
	nc, err := h.Dial(file, more...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

// Dial is ConnectCreds for who may be refused; the caller closes it.
func (h *Hub) Dial(file string, more ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(h.URL(), append([]nats.Option{nats.UserCredentials(file), nats.RootCAs(h.CA()), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, more...)...)
}

// Terminal enrols a terminal and returns its folder, with hub.conf for its nats.conf.
func (h *Hub) Terminal(atm string) string {
	h.t.Helper()
	out := h.t.TempDir()
	if _, err := h.Enroll(hub.Enrolment{Terminal: atm, Out: out, Life: time.Hour, Now: time.Now()}); err != nil {
		h.t.Fatal(err)
	}
	return filepath.Join(out, streams.Terminal(atm))
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
