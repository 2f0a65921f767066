package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/certs"
)

const denies = `deny_imports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"], deny_exports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"]`

// DESIGN 3: the edge does not start with a leaf link that would store twice, nor with
// one that mixes the two JetStreams; each is told with its place.
func TestLeafRefused(t *testing.T) {
	t.Parallel()
	const head, domain = "listen: \"127.0.0.1:-1\"\n", "jetstream { store_dir: data, domain: edge }\n"
	remote := func(text string) string { return "leafnodes { remotes: [\n  { " + text + " }\n] }\n" }
	here := `url: "nats://127.0.0.1:7422", `
	for name, c := range map[string]struct {
		text string
		want []string // a part of each line, in the file's order
	}{
		"good":             {domain + remote(here+denies), nil},
		"everything":       {domain + remote(here+`deny_imports: ">", deny_exports: ["*.>"]`), nil},
		"old names":        {domain + "LEAF { Remotes: [ { " + here + strings.ReplaceAll(denies, "ports", "port") + " } ] }", nil},
		"nothing denied":   {domain + remote(here), []string{":4:5: leaf remote nats://127.0.0.1:7422 lacks in.> rt.> out.> done.> audit.> in deny_imports", ":4:5: leaf remote nats://127.0.0.1:7422 lacks in.> rt.> out.> done.> audit.> in deny_exports"}},
		"one is missing":   {domain + remote(here+strings.Replace(denies, `, "audit.>"`, "", 1)), []string{"lacks audit.> in deny_imports"}},
		"exports only":     {domain + remote(here+denies[strings.Index(denies, "deny_exports"):]), []string{"in deny_imports"}},
		"too narrow":       {domain + remote(here+strings.ReplaceAll(denies, `"in.>"`, `"in.*"`)), []string{"lacks in.> in deny_imports", "lacks in.> in deny_exports"}},
		"the second":       {domain + strings.Replace(remote(here+denies), "\n]", ",\n  { url: \"nats://127.0.0.1:7423\" }\n]", 1), []string{":5:5: leaf remote nats://127.0.0.1:7423 lacks", ":5:5: "}},
		"no domain":        {"jetstream { store_dir: data }\n" + remote(here+denies), nil},
		"beside the file":  {domain + remote(`url: "tls://hub.example:7422", credentials: "server.key", tls { ca_file: "ca.pem", cert_file: "server.pem", key_file: "server.key" }, `+denies), nil},
		"not beside":       {domain + remote(here+`credentials: "none.creds", `+denies), []string{":4:5: leaf remote nats://127.0.0.1:7422 cannot use DIR/none.creds"}},
		"in the clear":     {domain + remote(`url: "tls://a:secret@hub.example:7422", `+denies), []string{":4:5: leaf remote tls://***@hub.example:7422 needs tls { ca_file"}},
		"one of several":   {domain + remote(`urls: ["nats://127.0.0.1:7422", "nats://10.0.0.1:7422"], `+denies), []string{"needs tls"}},
		"with TLS":         {domain + remote(`url: "tls://hub.example:7422", tls { ca_file: "DIR/ca.pem" }, `+denies), nil},
		"no credentials":   {domain + remote(here+`credentials: "DIR/none.creds", `+denies), []string{":4:5: leaf remote nats://127.0.0.1:7422 cannot use "}},
		"no account":       {domain + "accounts { V { jetstream: enabled }, H {} }\n" + remote(here+denies), []string{":5:5: leaf remote nats://127.0.0.1:7422 needs account"}},
		"no accounts":      {domain + remote(here+"account: X, "+denies), []string{":4:5: leaf remote nats://127.0.0.1:7422 is bound to account X, and there are no accounts"}},
		"an account":       {domain + "accounts { V { jetstream: enabled }, H {} }\n" + remote(here+"account: H, "+denies), nil},
		"two accounts":     {domain + "accounts { V { jetstream: enabled }, H {}, I {} }\n" + strings.Replace(remote(here+"account: H, "+denies), "\n]", ",\n  { "+here+"account: I, "+denies+" }\n]", 1), []string{":6:5: leaf remote nats://127.0.0.1:7422 is bound to another account"}},
		"no such account":  {domain + "accounts { V { jetstream: enabled } }\n" + remote(here+"account: H, "+denies), []string{":5:5: leaf remote nats://127.0.0.1:7422 needs account, the name of one that imports cmd.> of the account with the store: from H"}},
		"takes leaf nodes": {domain + "leafnodes { listen: \"0.0.0.0:7422\" }\n", []string{":3:1: an edge takes no leaf nodes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := serverFile(t, head+c.text)
			err := Check(file)
			if len(c.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("taken")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%v", len(lines), len(c.want), err)
			}
			for i, want := range c.want {
				want = strings.ReplaceAll(want, "DIR", filepath.Dir(file))
				if !strings.HasPrefix(lines[i], file+":") || !strings.Contains(lines[i], want) {
					t.Errorf("got  %s\nwant %s", lines[i], want)
				}
			}
			if b, err := Start(Options{File: file, Log: zerolog.Nop()}); err == nil {
				b.Close()
				t.Error("the edge starts with it")
			}
		})
	}
}

// A file with a secret of the link that everybody may read is refused.
func TestLeafSecrets(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("on Windows the folder's access list decides")
	}
	const text = "listen: \"127.0.0.1:-1\"\njetstream { store_dir: data, domain: edge }\nleafnodes { remotes: [ { url: \"nats://127.0.0.1:7422\", "
	for name, setting := range map[string]string{"server.key": `tls { ca_file: "DIR/ca.pem", cert_file: "DIR/server.pem", key_file: "DIR/server.key" }, `, "a.creds": `credentials: "DIR/a.creds", `} {
		file := serverFile(t, text+setting+denies+" } ] }\n")
		secret := filepath.Join(filepath.Dir(file), name)
		if name == "a.creds" {
			if err := os.WriteFile(secret, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Check(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Chmod(secret, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Check(file); err == nil || !strings.Contains(err.Error(), "everybody on this computer may read") || !strings.HasPrefix(err.Error(), file+":3:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hub is a plain nats-server that takes leaf nodes.
type hub struct {
	t    *testing.T
	opts server.Options
	s    *server.Server
}

func newHub(t *testing.T, change func(*server.Options)) *hub {
	t.Helper()
	h := &hub{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, ServerName: "hub",
		JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub"}}
	h.opts.LeafNode.Host, h.opts.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	if change != nil {
		change(&h.opts)
	}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

// start starts it, at the same ports when it has run before.
func (h *hub) start() {
	h.t.Helper()
	opts := h.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		h.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		h.t.Fatal("the hub does not start")
	}
	addr, _ := s.Addr().(*net.TCPAddr)
	h.s, h.opts.Port, h.opts.LeafNode.Port = s, addr.Port, opts.LeafNode.Port
	if v, err := s.Varz(nil); err == nil && v.LeafNode.Port > 0 {
		h.opts.LeafNode.Port = v.LeafNode.Port
	}
}

func (h *hub) stop() {
	h.s.Shutdown()
	h.s.WaitForShutdown()
}

// connect is a program at the hub.
func (h *hub) connect(opts ...nats.Option) *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect("", append([]nats.Option{nats.InProcessServer(h.s), nats.MaxReconnects(-1)}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

func (h *hub) url() string {
	return (&url.URL{Scheme: "nats", Host: net.JoinHostPort("127.0.0.1", fmt.Sprint(h.opts.LeafNode.Port))}).String()
}

// linkedEdge is an edge's broker with a link; more stands in the remote.
func linkedEdge(t *testing.T, url, more string) (*Server, *nats.Conn) {
	t.Helper()
	b, err := Start(Options{Log: zerolog.Nop(), File: linkFile(t, url, more)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return b, nc
}

func linkFile(t *testing.T, url, more string) string {
	t.Helper()
	return serverFile(t, fmt.Sprintf(
		"listen: \"127.0.0.1:-1\"\nserver_name: edge\njetstream { store_dir: data, domain: edge }\nleafnodes { reconnect: \"50ms\", remotes: [ { url: %q, %s %s } ] }\n", url, more, denies))
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// answers asks until somebody answers: a link's interest arrives a moment after it.
func answers(nc *nats.Conn, subject, want string) func() bool {
	return func() bool {
		m, err := nc.Request(subject, []byte("?"), time.Second)
		return err == nil && string(m.Data) == want
	}
}

func answering(t *testing.T, nc *nats.Conn, subject, with string) {
	t.Helper()
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(with)) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// SPEC 7, 10: an edge works with its hub away; when it is there, its commands reach the
// edge and the answers come back, over TLS too; also after the hub has been restarted.
func TestLeafLink(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			h := newHub(t, func(o *server.Options) {
				if secure {
					secureLeafs(t, o, dir)
				}
			})
			h.stop() // its address is known now
			more := ""
			if secure {
				more = fmt.Sprintf("tls { ca_file: %q, cert_file: %q, key_file: %q },", in(dir, "ca.pem"), in(dir, "edge.pem"), in(dir, "edge.key"))
			}
			b, nc := linkedEdge(t, h.url(), more)
			answering(t, nc, "cmd.00000040.GET_STATUS", "well")
			if b.Links() != 0 || !answers(nc, "cmd.00000040.GET_STATUS", "well")() {
				t.Fatalf("without its hub: %d links", b.Links())
			}
			for range 2 {
				h.start()
				until(t, "the link is up", func() bool { return b.Links() == 1 })
				until(t, "the hub's command is answered", answers(h.connect(), "cmd.00000040.GET_STATUS", "well"))
				h.stop()
				until(t, "the link is down", func() bool { return b.Links() == 0 })
				if !answers(nc, "cmd.00000040.GET_STATUS", "well")() {
					t.Error("the edge does not work without its hub")
				}
			}
		})
	}
}

func in(dir, name string) string { return filepath.ToSlash(filepath.Join(dir, name)) }

// secureLeafs has the hub ask leaf nodes for a certificate.
func secureLeafs(t *testing.T, o *server.Options, dir string) {
	t.Helper()
	if _, err := certs.Make(dir, certs.Plan{Hosts: []string{"127.0.0.1"}, Programs: []string{"edge"}, Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	c, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: in(dir, "server.pem"), KeyFile: in(dir, "server.key"), CaFile: in(dir, "ca.pem"), Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout = c, 5
}

// A hub with another authority's certificate, and one in the clear, is not linked to.
func TestLeafStranger(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	strange := newHub(t, func(o *server.Options) { secureLeafs(t, o, other) })
	clear := newHub(t, nil)
	good := newHub(t, func(o *server.Options) { secureLeafs(t, o, dir) })
	more := fmt.Sprintf("tls { ca_file: %q, cert_file: %q, key_file: %q },", in(dir, "ca.pem"), in(dir, "edge.pem"), in(dir, "edge.key"))
	a, _ := linkedEdge(t, strange.url(), more)
	b, _ := linkedEdge(t, clear.url(), more)
	c, _ := linkedEdge(t, good.url(), more)
	until(t, "the good hub is linked", func() bool { return c.Links() == 1 })
	if a.Links()+b.Links() != 0 || strange.s.NumLeafNodes()+clear.s.NumLeafNodes() != 0 {
		t.Error("a stranger is linked to")
	}
}

// Edges with one name in nats.conf, as in the shipped one, do not cut each other off at
// the hub; and one that opens its store again replaces its own link.
func TestLeafNames(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	var list []*Server
	var files []string
	for range 3 {
		file := linkFile(t, h.url(), "")
		b, err := Start(Options{File: file, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		list, files = append(list, b), append(files, file)
	}
	all := func() bool { return !slices.ContainsFunc(list, func(b *Server) bool { return b.Links() != 1 }) }
	until(t, "all are linked", func() bool { return all() && h.s.NumLeafNodes() == 3 })
	ids := func() (ids []uint64) {
		z, err := h.s.Leafz(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range z.Leafs {
			ids = append(ids, l.ID)
		}
		slices.Sort(ids)
		return ids
	}
	before := ids()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) { // they would come back after 50 ms
		if !all() {
			t.Fatal("a link is cut")
		}
	}
	if after := ids(); !slices.Equal(before, after) {
		t.Errorf("links %v, then %v", before, after)
	}
	name := list[0].s.Name()
	list[0].Close()
	again, err := Start(Options{File: files[0], Log: zerolog.Nop(), After: list[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.s.Name(); got != name || !strings.HasPrefix(name, "edge-") || name == list[1].s.Name() {
		t.Errorf("the name is %s, then %s", name, got)
	}
}

// private are subjects that belong to one side alone.
var private = []string{"in.00000040.URAL", "in.batch", "out.uralsib.high.00000040.normal", "rt.rules", "done.uralsib.00000040", "audit.00000040.cmd",
	"mark.uralsib", "guard.WHOLE", "ctl.edge.status", "as.OPERATOR.cmd.00000040.REBOOT", "$KV.CONTROL.all", "$KV.COMMANDS.proxima.x", "$JS.EVENT.ADVISORY.x"}

// DESIGN 3: what belongs to the streams crosses the link in neither direction, also
// where both sides have a stream on the same subjects and somebody listens on both; and
// the hub does not reach the edge's JetStream.
func TestLeafKeepsApart(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	b, atEdge := linkedEdge(t, h.url(), "")
	atHub := h.connect()
	heard := &heard{}
	for side, nc := range map[string]*nats.Conn{"edge": atEdge, "hub": atHub} {
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "STORE", Subjects: []string{"in.>", "out.>", "rt.>", "done.>", "audit.>"}}); err != nil {
			t.Fatal(err)
		}
		for _, subject := range append([]string{"probe.>"}, private...) {
			if _, err := nc.Subscribe(subject, heard.note(side)); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, "the link is up", func() bool { return b.Links() == 1 })
	for from, nc := range map[string]*nats.Conn{"edge": atEdge, "hub": atHub} {
		to := map[string]string{"edge": "hub", "hub": "edge"}[from]
		until(t, "a probe from "+from, func() bool {
			return nc.Publish("probe."+from, []byte(from)) == nil && nc.Flush() == nil && heard.has(to, from)
		})
		for _, subject := range private {
			if err := nc.Publish(subject, []byte(from)); err != nil {
				t.Fatal(err)
			}
		}
		last := from + ", last"
		until(t, "the last probe from "+from, func() bool { // behind everything else
			return nc.Publish("probe.last", []byte(last)) == nil && nc.Flush() == nil && heard.has(to, last)
		})
		until(t, "the "+from+" itself hears all", func() bool { return len(heard.crossed(from, from)) == len(private) }) // each by a goroutine of its own
		if got := heard.crossed(to, from); len(got) > 0 {
			t.Errorf("from %s to %s: %q", from, to, got)
		}
	}
	keptApart(t, h, atEdge, atHub)
}

// keptApart sees what the streams have, and that the hub's requests do not reach the edge's.
func keptApart(t *testing.T, h *hub, atEdge, atHub *nats.Conn) {
	t.Helper()
	const stored = 6 + 1 // of private, and the one behind them
	for side, nc := range map[string]*nats.Conn{"edge": atEdge, "hub": atHub} {
		if _, err := nc.Request("audit.last", nil, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if n := messages(t, nc); n != stored {
			t.Errorf("the stream at the %s has %d messages, want %d", side, n, stored)
		}
	}
	if _, err := atHub.Request("$JS.edge.API.STREAM.PURGE.STORE", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("the hub's request to the edge's JetStream: %v", err)
	}
	if _, err := atHub.Request("$JS.API.STREAM.PURGE.STORE", nil, 5*time.Second); err != nil {
		t.Error(err)
	}
	if n, own := messages(t, atEdge), messages(t, atHub); n != stored || own != 0 {
		t.Errorf("after the hub's purge of its own stream: edge %d, hub %d", n, own)
	}
	m, err := atEdge.Request("$JS.hub.API.STREAM.INFO.STORE", nil, 5*time.Second) // the way of what comes later
	if err != nil || strings.Contains(string(m.Data), `"error"`) {
		t.Errorf("the edge asks the hub's JetStream: %v", err)
	}
	if h.s.NumLeafNodes() != 1 {
		t.Error("the link is lost")
	}
}

func messages(t *testing.T, nc *nats.Conn) uint64 {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "STORE")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// heard is who has received what from whom.
type heard struct {
	mu   sync.Mutex
	list []string // side, subject, sender
}

func (h *heard) note(side string) nats.MsgHandler {
	return func(m *nats.Msg) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.list = append(h.list, side+"\t"+m.Subject+"\t"+string(m.Data))
	}
}

func (h *heard) has(side, sender string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.list {
		if strings.HasPrefix(l, side+"\tprobe.") && strings.HasSuffix(l, "\t"+sender) {
			return true
		}
	}
	return false
}

// crossed are the private subjects that a side has heard from a sender.
func (h *heard) crossed(side, sender string) (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.list {
		part := strings.Split(l, "\t")
		if part[0] == side && part[2] == sender && !strings.HasPrefix(part[1], "probe.") {
			list = append(list, part[1])
		}
	}
	return list
}
