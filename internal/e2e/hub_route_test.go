package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// routedHub is a hub with our programs beside it; the test is the terminals' forwarders.
type routedHub struct {
	*site
	hub  *hubtest.Hub
	js   jetstream.JetStream
	sent map[string]int // events to be delivered, by sink
}

func newRoutedHub(t *testing.T, rules string, terminals ...string) *routedHub {
	t.Helper()
	h := hubtest.Start(t, 3, terminals...)
	h.MakeEvt(streams.HubOptions{Route: true})
	s := newSite(t, settings{Rules: rules})
	w := &routedHub{site: s, hub: h, js: h.JetStream(), sent: map[string]int{}}
	tagged := simulate.MonitorOptions{Tag: "n"}
	s.uralsib, s.proxima = simulate.NewUralsib(simulate.UralsibOptions{MonitorOptions: tagged}), simulate.NewProxima(simulate.ProximaOptions{MonitorOptions: tagged, PollWait: 20 * time.Second})
	url := strings.ReplaceAll(h.URL(), "nats://", "nats://"+hubtest.Bank+":"+hubtest.Password+"@")
	uralsib, proxima := serve(t, s.uralsib.Serve)+"/monitor", serve(t, s.proxima.Serve)
	s.write("vestnik.conf", fmt.Sprintf(`
place: hub
hub { replicas: 3 }
terminal { signatures { URAL: [uralsib], JSON: [proxima] } }
nats { url: %q }
rules: "rules.xml"
sinks {
  uralsib { RemoteMonitoringUrl: %q }
  proxima { RemoteMonitoringUrl: "%s/events", RemoteCommandsUrl: "%s/commands", poll_parallel: 2 }
}
log { level: debug }
`, url, uralsib, proxima, proxima))
	return w
}

// forward stores event i of a terminal in EVT, once: what has no answer is looked for.
func (w *routedHub) forward(terminal string, i int, signature string, mine bool) {
	w.t.Helper()
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: terminal, Signature: signature, Severity: "normal", Device: "12", Time: now,
		Raw: fmt.Appendf(nil, `<event severity="normal" device="12" atm="%s" n="%s-%d"/>`, terminal, terminal, i+1)}
	m := nats.NewMsg(streams.Evt(terminal, "12", "normal", "inc"))
	e.SetHeader(event.Header(m.Header))
	m.Data = e.Raw
	if mine {
		m.Header[streams.HeaderRouted] = []string{streams.RoutedHub}
		w.sent[map[string]string{"URAL": "uralsib", "JSON": "proxima"}[signature]]++
	}
	var last uint64
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
		last = 0
		err := streams.Scan(ctx, w.js, streams.EvtStream, streams.From{Subjects: []string{streams.EvtTerminal(terminal)}, Headers: true}, func(got jetstream.Msg) error {
			if last = streams.Seq(got); got.Headers().Get("ce-id") == e.ID {
				return errStored
			}
			return nil
		})
		if errors.Is(err, errStored) {
			cancel()
			return
		}
		if err == nil {
			m.Header["Nats-Expected-Last-Subject-Sequence"] = []string{fmt.Sprint(last)}
			m.Header["Nats-Expected-Last-Subject-Sequence-Subject"] = []string{streams.EvtLife(terminal, "inc")}
			_, err = w.js.PublishMsg(ctx, m)
		}
		cancel()
		if err == nil {
			return
		}
	}
	w.t.Fatal("EVT takes no event")
}

var errStored = errors.New("stored")

// SPEC 10: router and sinks at the hub, the same programs with another configuration: what
// edges have marked is delivered, once and in the terminal's order, whatever program or
// server ends; the rest is left alone. SPEC 6: commands are polled for the terminals that
// are routed there.
func TestRoutedAtHub(t *testing.T) {
	t.Parallel()
	w := newRoutedHub(t, `<rule name='three'><event_attrs signature='none'/><event_params period='count_3'/></rule>`, "1", "2", "3")
	w.start("router", "sink-uralsib", "sink-proxima")
	round := func(from, to int) {
		for i := from; i < to; i++ {
			for n, terminal := range []string{"00000001", "00000002", "00000003"} {
				w.forward(terminal, i, []string{"URAL", "JSON"}[i%2], n != 2)
			}
		}
	}
	round(0, 10)
	w.processes["router"].kill()
	w.processes["sink-uralsib"].stop(t)
	s, err := w.js.Stream(t.Context(), streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().Config.Replicas; n != 3 {
		t.Errorf("ROUTE has %d replicas", n)
	}
	leader := slices.IndexFunc(w.hub.Servers, func(srv *server.Server) bool { return srv.Name() == s.CachedInfo().Cluster.Leader })
	w.hub.Stop(leader)
	w.start("router", "sink-uralsib")
	round(10, 20)
	w.hub.StartServer(leader)
	delivered := func() bool {
		return w.uralsib.Counts().Confirmed == w.sent["uralsib"] && w.proxima.Counts().Confirmed == w.sent["proxima"]
	}
	eventually(t, 40*time.Second, func() string {
		return fmt.Sprintf("delivered %+v %+v of %v", w.uralsib.Counts(), w.proxima.Counts(), w.sent)
	}, delivered)
	for name, c := range map[string]int{"repeats": w.uralsib.Counts().Repeats + w.proxima.Counts().Repeats, "invalid": w.uralsib.Counts().Invalid + w.proxima.Counts().Invalid,
		"in disorder": w.uralsib.Counts().Disorder + w.proxima.Counts().Disorder, "of others": w.uralsib.Counts().Terminals["00000003"] + w.proxima.Counts().Terminals["00000003"]} {
		if c > 0 {
			t.Errorf("%d %s", c, name)
		}
	}
	if t.Failed() {
		for _, a := range slices.Concat(w.uralsib.Arrivals(), w.proxima.Arrivals()) {
			t.Logf("%s %s %s %s lane %q confirmed %v disorder %v repeat %v status %d", a.Time.Format("05.000"), a.System, a.Attr("n"), a.ID, a.Lane, a.Confirmed, a.Disorder, a.Repeat, a.Status)
		}
	}
	w.commands()
	w.operator()
}

// commands: the terminal of an edge at the hub answers what is polled for it.
func (w *routedHub) commands() {
	w.t.Helper()
	nc := w.hub.Connect("00000001")
	w.t.Cleanup(nc.Close)
	_, err := nc.Subscribe(streams.CmdAll("1"), func(m *nats.Msg) {
		var in struct{ ID json.RawMessage }
		_ = json.Unmarshal(m.Data, &in)
		_ = m.Respond(fmt.Appendf(nil, `{"atm":"00000001","code":0,"status":"ok","source":"ProATM","description":"да","results":[{"id":%q,"name":"GET_STATUS","code":0,"status":"ok","source":"ProATM","description":"да"}]}`,
			strings.Trim(string(in.ID), `"`)))
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		w.t.Fatal(err)
	}
	for _, atm := range []string{"3", "1"} { // 3 is routed, and polled for, at its edge
		if _, err := w.proxima.Order(atm, simulate.Order{Name: "GET_STATUS"}); err != nil {
			w.t.Fatal(err)
		}
	}
	eventually(w.t, 30*time.Second, func() string { return fmt.Sprintf("results %+v", w.proxima.Results()) }, func() bool { return len(w.proxima.Results()) > 0 })
	if r := w.proxima.Results()[0]; r.Terminal != "00000001" || r.Answer.Results[0].Code != 0 {
		w.t.Errorf("result %+v", r)
	}
	if n := w.proxima.Counts().Commands.PollsAtOnce; n > 2 {
		w.t.Errorf("%d polls at once", n)
	}
}

// operator: vestnik works at the hub, and knows of no edge there.
func (w *routedHub) operator() {
	w.t.Helper()
	out := vestnik(w.site, "status")
	for _, text := range []string{"router", "sink-uralsib", "EVT", "ROUTE"} {
		if !strings.Contains(out, text) {
			w.t.Errorf("status without %s:\n%s", text, out)
		}
	}
	for _, text := range []string{"edge", "EVENTS", "not running", "problem"} {
		if strings.Contains(out, text) {
			w.t.Errorf("status with %s:\n%s", text, out)
		}
	}
	if out := vestnik(w.site, "queue", "--sink", "uralsib", "--json"); strings.Count(out, `"state":"delivered"`) != w.sent["uralsib"] || !strings.Contains(out, `"value":"00000001-1"`) {
		w.t.Errorf("queue:\n%s", out)
	}
	for args, want := range map[string]int{"--sink uralsib": w.sent["uralsib"], "--state delivered": w.sent["uralsib"] + w.sent["proxima"], "--state failed": 0,
		"--rule - --terminal 1 --sink proxima": w.sent["proxima"] / 2, "--rule three": 0, "": 60} {
		out := vestnik(w.site, append([]string{"replay", "--output", "jsonl"}, strings.Fields(args)...)...)
		if n := strings.Count(out, "\n"); n != want {
			w.t.Errorf("replay %s: %d events, want %d", args, n, want)
		}
	}
	if out := vestnik(w.site, "timeline", "1"); !strings.Contains(out, "20 events") || strings.Contains(out, "Deliveries are not shown") {
		w.t.Errorf("timeline:\n%s", out)
	}
	vestnik(w.site, "pause", "--sink", "uralsib")
	w.forward("00000001", 20, "URAL", true)
	eventually(w.t, 20*time.Second, func() string { return vestnik(w.site, "queue") }, func() bool {
		return strings.Contains(vestnik(w.site, "queue", "--sink", "uralsib", "--state", "pending"), "00000001")
	})
	vestnik(w.site, "resume", "--sink", "uralsib")
	eventually(w.t, 20*time.Second, func() string { return "resumed" }, func() bool { return w.uralsib.Counts().Confirmed == w.sent["uralsib"] })
	vestnik(w.site, "check")
	vestnik(w.site, "reload")
	vestnik(w.site, "stop")
}

// SPEC 10: an edge whose terminal is routed at the hub runs no router and no sinks, misses
// none, and keeps of EVENTS what the hub has not got.
func TestEdgeRoutedAtHub(t *testing.T) {
	t.Parallel()
	hub := hubtest.Start(t, 1, "40")
	hub.MakeEvt(streams.HubOptions{Route: true})
	s := newSite(t, settings{More: "store { events_bytes: 64MB, keep_bytes: 1MB }"})
	s.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: data, domain: t40 }\n", s.nats)+hub.LeafBlock("40"))
	s.start("edge", "router")
	before, err := os.ReadFile(s.path("vestnik.conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("vestnik.conf", string(before)+"\nhub { route: hub }\n")
	// The router routes here as long as it runs: the edge does not change over before.
	if _, errs, code := s.vestnik("reload"); code == 0 || !strings.Contains(errs, "route: this terminal is routed at the hub") {
		t.Errorf("reload: exit %d, %s", code, errs)
	}
	if out := vestnik(s, "status"); !strings.Contains(out, "vestnik stop router") {
		t.Errorf("status:\n%s", out)
	}
	vestnik(s, "stop", "router")
	vestnik(s, "reload")
	text := strings.Repeat("я", 4000)
	const n = 300
	for i := range n {
		s.accept("URAL", fmt.Sprintf(`<event severity="normal" device="12" n="%d" message="%s"/>`, i, text))
	}
	_, js := s.connect()
	events, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	end := events.CachedInfo().State.LastSeq
	eventually(t, 30*time.Second, func() string { return "the hub has not got all" }, func() bool {
		f, ok, err := streams.ReadForwarded(t.Context(), js)
		return err == nil && ok && f.At().Seq == end
	})
	s.processes["edge"].stop(t)
	s.start("edge") // its keeper begins with a round
	eventually(t, 20*time.Second, func() string { return "EVENTS is not trimmed" }, func() bool {
		now, err := events.Info(t.Context())
		return err == nil && now.State.Bytes <= 2<<20
	})
	marked := 0
	err = streams.Scan(t.Context(), hub.JetStream(), streams.EvtStream, streams.From{Headers: true}, func(m jetstream.Msg) error {
		if m.Headers().Get(streams.HeaderRouted) == streams.RoutedHub {
			marked++
		}
		return nil
	})
	if err != nil || marked < n {
		t.Errorf("EVT has %d events to route, want %d (%v)", marked, n, err)
	}
	out := vestnik(s, "status")
	for _, text := range []string{"router", "sink", "not running", "Not routed", "Rules", "problem"} {
		if strings.Contains(out, text) {
			t.Errorf("status with %q:\n%s", text, out)
		}
	}
	for _, name := range programs[1:] {
		if _, errs, code := run(t, nil, program(name), "-t", "-c", s.path("vestnik.conf")); code != 1 || !strings.Contains(errs, "vestnik.conf:") || !strings.Contains(errs, "route: this terminal is routed at the hub") {
			t.Errorf("%s -t: exit %d, %s", name, code, errs)
		}
		if _, errs, code := run(t, nil, program(name), "-c", s.path("vestnik.conf")); code != 1 || !strings.Contains(errs, "route: this terminal is routed at the hub") {
			t.Errorf("%s: exit %d, %s", name, code, errs)
		}
	}
}
