package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"text/template"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

// A site is a terminal's computer with the four programs, and the two
// monitoring systems beside it.
type site struct {
	t              *testing.T
	dir            string
	terminal, nats string // addresses
	uralsib        *simulate.Uralsib
	proxima        *simulate.Proxima
	processes      map[string]*process
}

// programs in the order of an event's way.
var programs = []string{"edge", "router", "sink-uralsib", "sink-proxima"}

// settings of a site that tests choose; zero values are usable.
type settings struct {
	Rules   string                        // inside <rules>
	URAL    string                        // sinks of signature URAL, default uralsib
	Sink    string                        // more settings of both sinks
	Run     string                        // parts that the edge hosts
	More    string                        // further blocks
	Limits  string                        // more settings of the terminal port
	Uralsib string                        // RemoteMonitoringUrl, default that of the simulator
	Timeout string                        // RemoteMonitoringTimeoutSec, default 5
	Via     func(sink, url string) string // what lies between a sink and its monitoring system
	Log     string                        // more settings of the log, with a comma in front

	Commands bool   // proxima is polled for commands
	ATM      string // 8 digits, default 00000040

	NATS, Listen, Proxima, Polled string // addresses that newSite chooses
}

var configText = template.Must(template.New("").Parse(`
atm: "{{or .ATM "00000040"}}"
terminal {
  listen: "{{.Listen}}"
  signatures { URAL: [{{.URAL}}], JSON: [proxima] }
  {{.Limits}}
}
server: "nats.conf"
nats { url: "nats://{{.NATS}}" }
rules: "rules.xml"
sinks {
  uralsib { RemoteMonitoringUrl: "{{.Uralsib}}", RemoteMonitoringTimeoutSec: {{or .Timeout "5"}}, {{.Sink}} }
  proxima { RemoteMonitoringUrl: "{{.Proxima}}", RemoteMonitoringTimeoutSec: {{or .Timeout "5"}}, {{if .Commands}}RemoteCommandsUrl: "{{.Polled}}", {{end}}{{.Sink}} }
}
run: [{{.Run}}]
{{if .More}}{{.More}}{{else}}store { events_bytes: 1GB }{{end}}
log { level: debug{{.Log}} }
`))

// newSite makes the folder and starts the monitoring systems; no program runs yet.
func newSite(t *testing.T, o settings) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), terminal: freeAddr(t), nats: freeAddr(t), processes: map[string]*process{}}
	s.uralsib = simulate.NewUralsib(simulate.UralsibOptions{})
	s.proxima = simulate.NewProxima(simulate.ProximaOptions{PollWait: 20 * time.Second})
	uralsib, proxima := serve(t, s.uralsib.Serve)+"/monitor", serve(t, s.proxima.Serve)+"/events"
	o.Polled = strings.TrimSuffix(proxima, "/events") + "/commands"
	if o.Via != nil {
		uralsib, proxima = o.Via("uralsib", uralsib), o.Via("proxima", proxima)
	}
	if o.Uralsib == "" {
		o.Uralsib = uralsib
	}
	o.Proxima = proxima
	o.Listen, o.NATS = s.terminal, s.nats
	if o.URAL == "" {
		o.URAL = "uralsib"
	}
	var text strings.Builder
	if err := configText.Execute(&text, o); err != nil {
		t.Fatal(err)
	}
	s.write("vestnik.conf", text.String())
	s.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: data }\n", s.nats))
	s.write("rules.xml", "<?xml version='1.0' encoding='UTF-8'?>\n<rules>\n"+o.Rules+"\n</rules>\n")
	return s
}

// runSite is newSite with all four programs ready.
func runSite(t *testing.T, o settings) *site {
	t.Helper()
	s := newSite(t, o)
	s.start(programs...)
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// start starts programs and waits until all of them serve.
func (s *site) start(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.launch(name)
	}
	for _, name := range names {
		s.processes[name].ready(s.t)
	}
}

// launch starts a program and does not wait.
func (s *site) launch(name string) *process {
	s.t.Helper()
	p := start(s.t, name, "-c", s.path("vestnik.conf"))
	s.processes[name] = p
	return p
}

// connect opens a connection to the site's broker.
func (s *site) connect() (*nats.Conn, jetstream.JetStream) {
	s.t.Helper()
	nc, err := nats.Connect("nats://"+s.nats, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return nc, js
}

// send sends one message and returns the answer's result.
func (s *site) send(signature, body string) simulate.Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	answer, err := simulate.Send(ctx, s.terminal, signature, frame.BigEndian, []byte(body))
	if err != nil {
		s.t.Fatalf("send %s: %v", body, err)
	}
	r, err := simulate.ReadResult(answer)
	if err != nil {
		s.t.Fatalf("answer %q: %v", answer, err)
	}
	return r
}

// accept sends an event that must be answered with code 0.
func (s *site) accept(signature, body string) {
	s.t.Helper()
	if r := s.send(signature, body); r.Code != 0 {
		s.t.Fatalf("%s is answered with code %d: %s", body, r.Code, r.Description)
	}
}

// serve runs a monitoring system on a port of its own and returns its URL.
func serve(t *testing.T, f func(context.Context, net.Listener) error) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, ln, f)
	return "http://" + ln.Addr().String()
}

// serveOn runs a monitoring system until the test's end.
func serveOn(t *testing.T, ln net.Listener, f func(context.Context, net.Listener) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("monitoring system: %v", err)
		}
	})
}

// nextPort counts through ports below those that systems give to outgoing
// connections: a program that is down must find its port free when it returns.
var nextPort atomic.Int64

func init() { nextPort.Store(20000 + rand.Int64N(10000)) }

func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// listenFree listens on a port of freeAddr's: one to which a listener that vanishes may
// return.
func listenFree(t *testing.T) net.Listener {
	t.Helper()
	var err error
	for range 100 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", freeAddr(t)); err == nil { // else somebody was quicker
			return ln
		}
	}
	t.Fatal(err)
	return nil
}

// eventually waits for a condition; what says what is waited for, and how it stands.
func eventually(t *testing.T, limit time.Duration, what func() string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what())
		}
		time.Sleep(5 * time.Millisecond) // between two looks, no more than that
	}
}

// say makes a text for eventually.
func say(format string, args ...any) func() string {
	return func() string { return fmt.Sprintf(format, args...) }
}
