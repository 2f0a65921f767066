package e2e_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/control"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

const healthRules = `<rule name='three'><event_attrs kind='three'/><event_params period='count_3'/></rule>
<rule name='soon'><event_attrs kind='soon'/><event_params period='timeout_1'/></rule>
<rule name='never'><event_attrs kind='never'/><event_params delivery='never'/></rule>
<rule name='low'><event_attrs kind='low'/><event_params priority='low'/></rule>
<rule name='high'><event_attrs kind='high'/><event_params priority='high'/></rule>`

// kindOf makes an event of a kind.
func kindOf(kind string) string {
	return `<event severity='normal' device='12' message='м' kind='` + kind + `'/>`
}

// The metrics of real processes are the sums of what was done.
func TestHealthMetrics(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: healthRules, More: withHealth, Sink: `aside_min: "1h"`, Commands: true})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "kind", Text: "bad", Status: 422}} })
	for kind, n := range map[string]int{"plain": 5, "three": 4, "soon": 1, "never": 2, "bad": 1} {
		for range n {
			s.accept("URAL", kindOf(kind))
		}
	}
	s.accept("URAL", `<event severity='normal' device='12'/>`) // a heartbeat
	for _, bad := range []struct{ signature, body string }{{"URAL", "<event"}, {"URAL", "<event device='1'/>"}, {"ABCD", kindOf("plain")}} {
		if r := s.send(bad.signature, bad.body); r.Code == 0 {
			t.Errorf("%v is taken", bad)
		}
	}
	edge, router, uralsib := s.processes["edge"], s.processes["router"], s.processes["sink-uralsib"]
	const delivered = 5 + 3 + 1 + 1
	eventually(t, 10*time.Second, say("%d delivered and one set aside", delivered), func() bool {
		got, _ := uralsib.scrape(t).find("vestnik_sink_delivered_total")
		aside, _ := uralsib.scrape(t).find("vestnik_sink_aside_events")
		queued, _ := uralsib.scrape(t).find("vestnik_oldest_queued_age_seconds")
		return got == delivered && aside == 1 && queued == 0
	})

	m := edge.scrape(t)
	m.want(t, 14, "vestnik_intake_answers_total", "code", "0")
	m.want(t, 1, "vestnik_intake_answers_total", "code", "3")
	m.want(t, 1, "vestnik_intake_answers_total", "code", "5")
	m.want(t, 1, "vestnik_intake_answers_total", "code", "1")
	m.want(t, 16, "vestnik_intake_frames_total")
	m.want(t, 16, "vestnik_intake_answer_seconds_count")
	m.want(t, 17, "vestnik_intake_connections_total")
	m.want(t, 0, "vestnik_intake_connections_displaced_total")
	m.want(t, 14, "vestnik_journal_commit_events_sum")
	m.want(t, 0, "vestnik_journal_waiting_events")
	m.want(t, 0, "vestnik_journal_commits_failed_total")
	m.want(t, 0, "vestnik_unrouted_messages")
	m.want(t, 14, "vestnik_stream_messages", "stream", "EVENTS") // sent one by one
	for _, name := range []string{"vestnik_intake_last_event_time_seconds", "vestnik_intake_last_heartbeat_time_seconds"} {
		if at, ok := m.find(name); !ok || time.Since(time.UnixMilli(int64(at*1e3))) > time.Minute {
			t.Errorf("%s is %v", name, at)
		}
	}

	m = router.scrape(t)
	m.want(t, delivered+1, "vestnik_router_routed_total")
	m.want(t, 5, "vestnik_router_held_total")
	m.want(t, 4, "vestnik_router_released_total")
	m.want(t, 1, "vestnik_router_releases_total", "reason", "count")
	m.want(t, 1, "vestnik_router_releases_total", "reason", "timeout")
	m.want(t, 2, "vestnik_router_suppressed_total")
	m.want(t, 1, "vestnik_router_held_events")
	m.want(t, 1, "vestnik_router_groups")
	m.want(t, 0, "vestnik_oldest_unrouted_age_seconds")

	m = uralsib.scrape(t)
	m.want(t, delivered+1, "vestnik_sink_requests_total")
	m.want(t, 1, "vestnik_sink_rejected_total")
	m.want(t, 0, "vestnik_sink_failed_total")
	m.want(t, delivered, "vestnik_sink_request_seconds_count", "result", "delivered")
	m.want(t, 1, "vestnik_sink_request_seconds_count", "result", "rejected")
	m.want(t, 0, "vestnik_sink_outage")
	m.want(t, 0, "vestnik_oldest_queued_age_seconds")
	s.processes["sink-proxima"].scrape(t).want(t, 0, "vestnik_oldest_undelivered_age_seconds", "sink", "proxima")
	s.refusedRules(t)

	for name, p := range s.processes {
		for _, path := range []string{"/livez", "/readyz"} {
			if status, body := p.get(t, path); status != http.StatusOK {
				t.Errorf("%s of %s: %d %s", path, name, status, body)
			}
		}
		for _, r := range p.checks(t) {
			if !r.OK && r.Name != "rules" {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
	s.documented(t)
}

// refusedRules: a broken file shows, a good one ends it.
func (s *site) refusedRules(t *testing.T) {
	t.Helper()
	router := s.processes["router"]
	s.write("rules.xml", "<rules><rule></rules>")
	eventually(t, 10*time.Second, say("the rules refused"), func() bool {
		v, _ := router.scrape(t).find("vestnik_rules_refused")
		return v == 1
	})
	m := router.scrape(t)
	if n, _ := m.find("vestnik_rules_errors_total"); n < 1 {
		t.Errorf("%v reloads refused", n)
	}
	eventually(t, time.Second, say("the check rules fails"), func() bool {
		r := router.checks(t)["router rules"]
		return !r.OK && strings.Contains(r.Detail, "refused")
	})
}

var metricName = regexp.MustCompile(`vestnik_[a-z0-9_]+`)

// documented: what the programs export, the docs tell, and the other way round;
// alert rules use nothing else; names are as Prometheus likes them.
func (s *site) documented(t *testing.T) {
	t.Helper()
	exported := map[string]bool{}
	all := maps.Clone(s.processes)
	all["edge with a hub"] = linkedEdge(t)
	for name, p := range all {
		_, body := p.get(t, "/metrics")
		s.lint(t, name, body)
		for line := range strings.Lines(body) {
			if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" && strings.HasPrefix(f[2], "vestnik_") {
				exported[f[2]] = true
			}
		}
	}
	told := map[string]bool{}
	for _, name := range metricName.FindAllString(read(t, "docs/health.md"), -1) {
		told[name] = true
	}
	for name := range exported {
		if !told[name] {
			t.Errorf("docs/health.md does not tell of %s", name)
		}
	}
	absent := []string{"vestnik_sink_outage_start_time_seconds"} // while there is no outage
	for name := range told {
		if !exported[name] && !slices.Contains(absent, name) {
			t.Errorf("docs/health.md tells of %s, which no program has", name)
		}
	}
	used := metricName.FindAllString(read(t, "deploy/prometheus/vestnik.rules.yml"), -1)
	if len(used) < 10 {
		t.Errorf("alert rules use %d metrics only", len(used))
	}
	for _, name := range used {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !exported[name] && !exported[base] {
			t.Errorf("an alert rule uses %s, which no program has", name)
		}
	}
}

// linkedEdge is an edge with a link to a hub, and an event there.
func linkedEdge(t *testing.T) *process {
	t.Helper()
	h := hubtest.Start(t, 1, "40")
	h.MakeEvt(streams.HubOptions{})
	s := newSite(t, settings{More: withHealth})
	s.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: data }\n", s.nats)+h.LeafBlock("40"))
	s.start("edge")
	s.accept("URAL", kindOf("plain"))
	edge := s.processes["edge"]
	eventually(t, 20*time.Second, say("an event at the hub"), func() bool {
		n, _ := edge.scrape(t).find("vestnik_forward_events_total")
		return n == 1
	})
	return edge
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// lint has Prometheus's own linter judge a process's metrics, and promtool where
// VESTNIK_PROMTOOL names it.
func (s *site) lint(t *testing.T, name, body string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics of %s: %v %v", name, problems, err)
	}
	tool := os.Getenv("VESTNIK_PROMTOOL")
	if tool == "" {
		return
	}
	cmd := exec.Command(tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics of %s: %v\n%s", name, err, out)
	}
}

// ages watches the age of the oldest undelivered event as sink and router tell it.
type ages struct {
	t      *testing.T
	s      *site
	oldest time.Time // when the event was sent that must be the oldest; zero = none
}

// tolerance: the age is right within a second.
const tolerance = time.Second

// holds looks for some time: whatever is told is right; the router always tells, the
// sink if it runs.
func (a *ages) holds(d time.Duration, sinkRuns bool) {
	a.t.Helper()
	var from, to float64
	looks := 0
	for end := time.Now().Add(d); time.Now().Before(end); looks++ {
		for _, name := range []string{"router", "sink-uralsib"} {
			if name != "router" && !sinkRuns {
				continue
			}
			age, ok := a.s.processes[name].scrape(a.t).find("vestnik_oldest_undelivered_age_seconds", "sink", "uralsib")
			if !ok {
				a.t.Errorf("%s does not tell the age", name)
			}
			if want := time.Since(a.oldest); age == 0 || (want-seconds(age)).Abs() > tolerance {
				a.t.Fatalf("%s: the oldest undelivered event is %.2f s old, not %s", name, age, want)
			}
			if from == 0 {
				from = age
			}
			to = age
		}
		time.Sleep(100 * time.Millisecond) // between two looks
	}
	if grown := seconds(to - from); looks > 3 && grown < d/2 {
		a.t.Errorf("in %s the age grew by %s", d, grown)
	}
}

// becomes waits until all tell an age that fits.
func (a *ages) becomes(limit time.Duration, what string, fits func(age time.Duration) bool) {
	a.t.Helper()
	eventually(a.t, limit, say("%s", what), func() bool {
		for _, name := range []string{"router", "sink-uralsib"} {
			age, ok := a.s.processes[name].scrape(a.t).find("vestnik_oldest_undelivered_age_seconds", "sink", "uralsib")
			if !ok || !fits(seconds(age)) {
				return false
			}
		}
		return true
	})
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }

func none(age time.Duration) bool { return age == 0 }
func some(age time.Duration) bool { return age > 0 }

// The age of the oldest undelivered event is right: in an outage, with its event in
// the lowest lane, with the sink's process dead and back, with deliveries paused,
// with an event set aside; and 0 when all is delivered.
func TestHealthAge(t *testing.T) {
	t.Parallel()
	phase := 2 * time.Second
	if os.Getenv("VESTNIK_LONG") != "" {
		phase = 30 * time.Second
	}
	s := runSite(t, settings{Rules: healthRules, More: withHealth, Sink: `retry_min: "100ms", retry_max: "500ms", aside_min: "1h"`})
	a := &ages{t: t, s: s}
	s.accept("URAL", kindOf("plain"))
	a.becomes(10*time.Second, "0 after a delivery", none)

	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	a.oldest = time.Now()
	s.accept("URAL", kindOf("low"))
	s.accept("URAL", kindOf("three")) // held: not owed yet
	a.becomes(5*time.Second, "an age in the outage", some)
	a.holds(phase, true)
	s.accept("URAL", kindOf("high"))
	s.accept("URAL", kindOf("plain"))
	a.holds(phase/2, true)
	if v, _ := s.processes["sink-uralsib"].scrape(t).find("vestnik_sink_outage"); v != 1 {
		t.Errorf("outage is %v", v)
	}
	if status, body := s.processes["sink-uralsib"].get(t, "/readyz"); status != http.StatusOK {
		t.Errorf("the sink is not ready because of an outage: %s", body)
	}
	if r := s.processes["sink-uralsib"].checks(t)["sink-uralsib monitoring system"]; r.OK || r.Detail == "" {
		t.Errorf("%+v", r)
	}

	s.processes["sink-uralsib"].kill()
	a.holds(phase/2, false)
	s.start("sink-uralsib")
	a.becomes(5*time.Second, "the age told by the sink again", some)
	a.holds(phase/2, true)
	s.processes["router"].kill()
	s.start("router")
	a.becomes(10*time.Second, "the age told by the router again", some)
	a.holds(phase/2, true)

	nc, js := s.connect()
	defer nc.Close()
	if err := control.SetPause(t.Context(), js, "uralsib", control.Pause{Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s.uralsib.Change(func(b *simulate.Behaviour) {
		b.Outage = false
		b.Match = []simulate.Match{{Attr: "kind", Text: "low", Status: 422}}
	})
	a.holds(phase/2, true)
	if err := control.ClearPause(t.Context(), js, "uralsib"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, say("the oldest set aside"), func() bool {
		v, _ := s.processes["sink-uralsib"].scrape(t).find("vestnik_sink_aside_events")
		return v == 1
	})
	a.holds(phase/2, true)
	for _, name := range []string{"sink-uralsib", "router"} {
		eventually(t, 5*time.Second, say("nothing queued, says %s", name), func() bool {
			age, ok := s.processes[name].scrape(t).find("vestnik_oldest_queued_age_seconds", "sink", "uralsib")
			return ok && age == 0
		})
	}
	s.processes["sink-uralsib"].kill() // with an event aside alone
	a.holds(phase/2, false)
}

// Back from an outage the age goes to 0, also of a long queue.
func TestHealthAgeEnds(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{More: withHealth, Sink: `retry_min: "50ms", retry_max: "200ms"`})
	a := &ages{t: t, s: s}
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	a.oldest = time.Now()
	for range 100 {
		s.accept("URAL", kindOf("plain"))
	}
	a.becomes(5*time.Second, "an age in the outage", some)
	a.holds(time.Second, true)
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	a.becomes(10*time.Second, "0 when all is delivered", none)
	if n := s.uralsib.Counts().Confirmed; n != 100 {
		t.Errorf("0 with %d of 100 delivered", n)
	}
}

// Hosted parts stand on the edge's port; a pause of the intake makes it not ready,
// and so does a store that takes nothing.
func TestHealthReady(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Run: "router, uralsib, proxima", More: withHealth})
	s.start("edge")
	edge := s.processes["edge"]
	ready := func(want int, why string) {
		t.Helper()
		body := ""
		eventually(t, 5*time.Second, func() string { return fmt.Sprintf("/readyz %d: %s", want, body) }, func() bool {
			var status int
			status, body = edge.get(t, "/readyz")
			return status == want && strings.Contains(body, why)
		})
		if status, body := edge.get(t, "/livez"); status != http.StatusOK {
			t.Errorf("/livez: %d %s", status, body)
		}
	}
	ready(http.StatusOK, "ok")
	s.accept("URAL", kindOf("plain"))
	m := edge.scrape(t)
	for _, part := range []string{"edge", "router", "sink-uralsib", "sink-proxima"} {
		m.want(t, 1, "vestnik_part_starts_total", "part", part)
	}
	_, js := s.connect()
	if err := control.SetPause(t.Context(), js, "", control.Pause{Since: time.Now(), Intake: true}); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusServiceUnavailable, "edge: intake: paused")
	edge.scrape(t).want(t, 1, "vestnik_intake_paused")
	if err := control.ClearPause(t.Context(), js, ""); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusOK, "ok")
	eventually(t, 5*time.Second, say("told in the log"), func() bool {
		lost, _ := edge.log.contains("health: does not do its job now")
		back, _ := edge.log.contains("health: does its job\"")
		return lost && back
	})
}

// A store that refuses makes the edge not ready; what nobody routes has an age.
func TestHealthFull(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{More: "store { events_bytes: 100KB }\nhealth { listen: \"127.0.0.1:0\" }"})
	s.start("edge") // nobody takes anything out
	edge := s.processes["edge"]
	sent := time.Now()
	s.accept("URAL", kindOf("plain"))
	big := strings.Replace(kindOf("plain"), "message='м'", "message='"+strings.Repeat("x", 20_000)+"'", 1)
	eventually(t, 20*time.Second, say("code 6"), func() bool { return s.send("URAL", big).Code == 6 })
	ready := func(want int, why string) {
		t.Helper()
		eventually(t, time.Second, say("/readyz is %d: %s", want, why), func() bool {
			status, body := edge.get(t, "/readyz")
			return status == want && strings.Contains(body, why)
		})
	}
	ready(http.StatusServiceUnavailable, "edge: journal: no commit since ")
	m := edge.scrape(t)
	m.want(t, 1, "vestnik_journal_failing")
	if age, _ := m.find("vestnik_oldest_unrouted_age_seconds"); (time.Since(sent) - seconds(age)).Abs() > tolerance {
		t.Errorf("the oldest unrouted event is %v s old, not %s", age, time.Since(sent))
	}
	n, _ := m.find("vestnik_stream_messages", "stream", "EVENTS")
	m.want(t, n, "vestnik_unrouted_messages")
	_, js := s.connect()
	events, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.accept("URAL", kindOf("plain"))
	ready(http.StatusOK, "ok")
	edge.scrape(t).want(t, 0, "vestnik_journal_failing")
}

// Fifty scrapes at once during load, garbage on the port, connections that send
// nothing, and a port that another program has: events do not notice.
func TestHealthPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := newSite(t, settings{More: fmt.Sprintf("store { events_bytes: 1GB }\nhealth { listen: \"127.0.0.1:0\", router: %q }", taken.Addr())})
	s.start(programs...)
	s.processes["router"].logged(t, "no health port")
	edge := s.processes["edge"]
	addr := strings.TrimPrefix(edge.healthURL(t), "http://")
	for _, garbage := range []string{"", "\x16\x03\x01\x02\x00", "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 100_000), "URAL\x00\x05<a/>", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"} {
		for range 10 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write([]byte(garbage)) // the port may hang up
		}
	}
	load := startLoad(t, s, 150)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 3 {
				resp, err := http.Get("http://" + addr + "/metrics")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || !strings.Contains(string(body), "\nvestnik_intake_frames_total{") {
					t.Errorf("a scrape of %d bytes without frames: %v", len(body), err)
				}
			}
		})
	}
	wg.Wait()
	sent := load.stop()
	eventually(t, 20*time.Second, say("%d delivered", sent), func() bool { return s.uralsib.Counts().Confirmed == sent })
	edge.scrape(t).want(t, float64(sent), "vestnik_intake_answers_total", "code", "0")
	taken.Close()
	s.processes["router"].healthURL(t) // as soon as the port is free
}
