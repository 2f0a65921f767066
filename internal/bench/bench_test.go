package bench_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/app"
	"vestnik/internal/config"
	"vestnik/internal/rules"
)

// events of one run; the load, the sink and the measured program share the machine.
const events = 10_000

// BenchmarkWay measures the way of an event: terminals connect, send one event,
// wait for the answer and close; a monitoring system takes what is delivered.
// Floor and Vestnik take turns, the best of three counts. x- metrics are ratios
// to the floor: of rates (more is better) and of times (less is better).
func BenchmarkWay(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("terminals=%d", n), func(b *testing.B) {
			for b.Loop() {
				var ours, base result
				for range 3 {
					base = base.best(run(b, n, startFloor))
					ours = ours.best(run(b, n, startVestnik))
				}
				report(b, ours, base)
			}
		})
	}
}

func report(b *testing.B, ours, base result) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.accepted, "accepted/s")
	b.ReportMetric(ours.accepted/base.accepted, "x-accepted")
	b.ReportMetric(ours.delivered/base.delivered, "x-delivered")
	b.ReportMetric(float64(ours.p50.Microseconds()), "answer-p50-µs")
	b.ReportMetric(float64(ours.p50)/float64(base.p50), "x-answer-p50")
	b.ReportMetric(float64(ours.end99)/float64(base.end99), "x-end-to-end-p99")
}

type result struct {
	accepted, delivered float64 // per second
	p50, end99          time.Duration
}

func (r result) best(o result) result {
	if r.accepted == 0 {
		return o
	}
	return result{max(r.accepted, o.accepted), max(r.delivered, o.delivered), min(r.p50, o.p50), min(r.end99, o.end99)}
}

// arrivals is a monitoring system that notes when each event came first.
type arrivals struct {
	at    [events]atomic.Int64
	count atomic.Int64
	all   chan struct{}
}

var token = regexp.MustCompile(`EVID-(\d{8})`)

func (a *arrivals) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	m := token.FindStringSubmatch(r.URL.RawQuery)
	if m == nil {
		return
	}
	i, err := strconv.Atoi(m[1])
	if err != nil || i >= events {
		return
	}
	if a.at[i].CompareAndSwap(0, time.Now().UnixNano()) && a.count.Add(1) == events {
		close(a.all)
	}
}

func run(b *testing.B, terminals int, start func(*testing.B, string) (string, func())) result {
	b.Helper()
	got := &arrivals{all: make(chan struct{})}
	srv := httptest.NewServer(got)
	defer srv.Close()
	addr, stop := start(b, srv.URL)
	defer stop()
	return load(b, addr, terminals, got)
}

func load(b *testing.B, addr string, terminals int, got *arrivals) result {
	b.Helper()
	sent := make([]int64, events)
	took := make([][]time.Duration, terminals)
	var next atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for t := range terminals {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < events; i = next.Add(1) - 1 {
				sent[i] = time.Now().UnixNano()
				if err := send(addr, t, int(i)); err != nil {
					b.Error(err)
					return
				}
				took[t] = append(took[t], time.Duration(time.Now().UnixNano()-sent[i]))
			}
		})
	}
	wg.Wait()
	accepted := time.Since(begin)
	select {
	case <-got.all:
	case <-time.After(30 * time.Second):
		b.Fatalf("%d of %d events arrived", got.count.Load(), events)
	}
	return measure(accepted, time.Since(begin), slices.Concat(took...), sent, got)
}

func measure(accepted, delivered time.Duration, took []time.Duration, sent []int64, got *arrivals) result {
	end := make([]time.Duration, events)
	for i := range end {
		end[i] = time.Duration(got.at[i].Load() - sent[i])
	}
	slices.Sort(took)
	slices.Sort(end)
	return result{events / accepted.Seconds(), events / delivered.Seconds(), took[len(took)/2], end[events*99/100]}
}

// send is one terminal's event: connect, send, wait for the answer, close. Each
// terminal has an address of its own, so that ports do not run out.
func send(addr string, terminal, i int) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(terminal/250), byte(2+terminal%250))}, Timeout: 10 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	body := fmt.Sprintf(`<?xml version='1.0' encoding='UTF-8'?><event severity="normal" device="12" agent="ProATM" service_id="Ogre.exe" atm="%08d" eventtime="1290606064" id="EVID-%08d" message="%s"/>`,
		terminal, i, strings.Repeat("abcdefgh", 11))
	frame := append(binary.BigEndian.AppendUint16([]byte("URAL"), uint16(len(body))), body...)
	if _, err := c.Write(frame); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !strings.Contains(string(answer), "code='0'") {
		return fmt.Errorf("answer %q", answer)
	}
	return nil
}

// startVestnik runs an edge that hosts router and sink, and returns its address
// and what ends it.
func startVestnik(b *testing.B, sink string) (string, func()) {
	b.Helper()
	s, stop := startEdge(b, sink, "")
	return s.Terminal.String(), stop
}

// startEdge is startVestnik with more settings of the block terminal.
func startEdge(b *testing.B, sink, more string) (app.Serving, func()) {
	b.Helper()
	dir := b.TempDir()
	files := map[string]string{
		"rules.xml": rulesXML(30),
		"nats.conf": "listen: \"127.0.0.1:-1\"\njetstream { store_dir: \"data\", sync_interval: always }\n",
		"vestnik.conf": fmt.Sprintf("atm: \"40\"\nterminal { listen: \"127.0.0.1:0\", signatures { URAL: [uralsib] }\n%s\n}\nserver: \"nats.conf\"\nrules: \"rules.xml\"\n"+
			"sinks { uralsib { RemoteMonitoringUrl: %q } }\nrun: [router, uralsib]\nstore { events_bytes: 1GB }\n", more, sink),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "vestnik.conf"))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan app.Serving, 1), make(chan error, 1)
	go func() {
		done <- app.RunEdge(ctx, cfg, zerolog.Nop(), func(s app.Serving) { ready <- s })
	}()
	select {
	case s := <-ready:
		return s, func() { cancel(); <-done }
	case err := <-done:
		cancel()
		b.Fatal(err)
		return app.Serving{}, nil
	}
}

// rulesXML are rules of which none matches: every event is looked at and goes on.
func rulesXML(n int) string {
	var s strings.Builder
	s.WriteString("<rules>\n")
	for i := range n {
		fmt.Fprintf(&s, "<rule name='r%d'><event_attrs severity='normal' device='12' code='%d'/><event_params period='count_5,timeout_60'/></rule>\n", i, i)
	}
	s.WriteString("</rules>\n")
	if _, err := rules.Parse("rules.xml", []byte(s.String())); err != nil {
		panic(err)
	}
	return s.String()
}
