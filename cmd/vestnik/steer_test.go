package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"vestnik/internal/app"
	"vestnik/internal/code"
	"vestnik/internal/simulate"
)

func TestQueue(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib", "proxima")
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "kind", Text: "bad", Status: 400}} })
	s.start()
	for _, kind := range []string{"plain", "drop", "two", "bad"} {
		if c := s.send(kind); c != code.OK {
			t.Fatalf("%s: code %d", kind, c)
		}
	}
	s.wantQueue("plain delivered", "drop suppressed", "two held", "bad aside")
	if d := cmp.Diff([]string{"two held", "bad aside"}, s.queue("--sink", "uralsib", "--state", "held,aside", "--terminal", "40")); d != "" {
		t.Error(d)
	}
	if got := s.queue("--sink", "proxima"); len(got) != 0 {
		t.Errorf("proxima: %q", got)
	}
	if d := cmp.Diff([]string{"plain delivered"}, s.queue("--limit", "1")); d != "" {
		t.Error(d)
	}
	form := regexp.MustCompile(`^\{"id":"[0-9a-f-]{36}","terminal":"00000040","sink":"uralsib","lane":"normal","state":"aside","rule":"","attempts":1,` +
		`"error":"[^"]*400[^"]*","time":"20[^"]*Z","attributes":\[\{"name":"severity","value":"critical"\},.*` +
		`\{"name":"message","value":"Привет, «мир» <1>"\}\]\}\n$`)
	if out := s.run("queue", "--sink", "uralsib", "--state", "aside", "--json"); !form.MatchString(out) {
		t.Errorf("JSON: %s", out)
	}
	s.send("two")
	s.wantQueue("plain delivered", "drop suppressed", "two delivered", "bad aside", "two delivered")
}

func TestQueueForPeople(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router")
	s.start()
	for _, kind := range []string{"urgent", "drop", "plain"} {
		s.send(kind)
	}
	s.wantQueue("urgent pending", "drop suppressed", "plain pending")
	clock := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)
	table := clock.ReplaceAllString(s.run("queue", "--sink", "uralsib"), "2026-11-22 10:00:00")
	want := `TIME                 TERMINAL  LANE    STATE       TRIES  RULE                  SEVERITY  EVENT
2026-11-22 10:00:00  00000040  high    pending            urgent                critical  Привет, «мир» <1>
2026-11-22 10:00:00  00000040  normal  suppressed         без доставки          critical  Привет, «мир» <1>
2026-11-22 10:00:00  00000040  normal  pending            -                     critical  Привет, «мир» <1>
uralsib: 2 pending, 1 suppressed
`
	if d := cmp.Diff(want, table); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	cut := s.run("queue", "--sink", "uralsib", "--limit", "1")
	if !strings.HasSuffix(cut, "… and 2 more (--limit 0 shows all)\nuralsib: 2 pending, 1 suppressed\n") || strings.Count(cut, "\n") != 4 {
		t.Errorf("cut table:\n%s", cut)
	}
	if out := s.run("queue", "--sink", "proxima"); out != "proxima: no events\n" {
		t.Errorf("empty table: %q", out)
	}
	summary := regexp.MustCompile(`\d+ s\n`).ReplaceAllString(s.run("queue"), "0 s\n")
	want = `SINK      HELD  PENDING  FAILED  ASIDE  DELIVERED  SUPPRESSED  EXPIRED  DISCARDED  OLDEST OWED
proxima      0        0       0      0          0           0        0          0  -
uralsib      0        2       0      0          0           1        0          0  0 s
`
	if d := cmp.Diff(want, summary); d != "" {
		t.Errorf("summary (-want +got):\n%s", d)
	}
	for _, c := range []struct{ want, args string }{
		{"unknown sink \"x\", known are uralsib, proxima", "queue --sink x"},
		{"unknown state \"lost\", known are held, pending, failed, aside, delivered, suppressed, expired, discarded", "queue --sink uralsib --state held,lost"},
		{"terminal \"4a\": want 1 to 8 digits", "queue --terminal 4a"},
		{"limit -1: want 0 or more", "queue --limit -1"},
	} {
		out, errs, err := s.try(strings.Fields(c.args)...)
		if err == nil || out != "" || errs != "vestnik: "+c.want+"\nRun \"vestnik queue --help\" for help.\n" {
			t.Errorf("%s: %v\n%s%s", c.args, err, out, errs)
		}
	}
}

// SPEC 4: a pause of a sink stops its deliveries while intake goes on; one of
// intake answers code 7, survives a restart, and ends by resume.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib", "proxima")
	s.start()
	out := s.run("pause", "--sink", "uralsib", "--for", "1h")
	if !regexp.MustCompile(`^Deliveries to uralsib are paused since [-\d]+ [\d:]+, until [-\d]+ [\d:]+\.\n$`).MatchString(out) {
		t.Errorf("pause: %q", out)
	}
	s.until("the sink obeys", func() bool { return s.status().program("sink-uralsib").sink.Sink.Paused })
	if s.status().program("sink-proxima").sink.Sink.Paused {
		t.Error("proxima is paused, too")
	}
	if c := s.send("plain"); c != code.OK {
		t.Errorf("intake: code %d", c)
	}
	s.until("it waits", func() bool { return strings.Contains(fmt.Sprint(s.queue("--sink", "uralsib")), "plain pending") })
	if st := s.status(); !st.Sinks["uralsib"].Paused || st.Sinks["proxima"].Paused || st.Pauses.Sinks["uralsib"].Until.IsZero() {
		t.Errorf("status: %+v", st.Pauses)
	}
	if out := s.run("resume", "--sink", "uralsib"); out != "Nothing is paused.\n" {
		t.Errorf("resume: %q", out)
	}
	s.until("delivered", func() bool { return strings.Contains(fmt.Sprint(s.queue("--sink", "uralsib")), "plain delivered") })

	if out := s.run("pause", "--intake"); !strings.HasPrefix(out, "Intake (code 7), deliveries and commands are paused since ") || !strings.HasSuffix(out, ", until vestnik resume.\n") {
		t.Errorf("pause --intake: %q", out)
	}
	s.until("code 7", func() bool { return s.send("plain") == code.Paused })
	s.stop()
	s.start()
	s.until("code 7 after the restart", func() bool { return s.send("plain") == code.Paused })
	if out := s.run("status"); !strings.Contains(out, "\nIntake (code 7), deliveries and commands are paused since ") {
		t.Errorf("status:\n%s", out)
	}
	s.run("resume")
	s.until("code 0", func() bool { return s.send("plain") == code.OK })
}

func TestPauseRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"pause --sink x", "pause --intake --sink uralsib", "pause --for 0s", "pause --for -1m", "resume --sink x", "pause now"} {
		root := newRoot()
		root.SetArgs(append(strings.Fields(args), "--server", "nats://127.0.0.1:1"))
		err := root.Execute()
		if err == nil || strings.Contains(err.Error(), "no connection") {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router")
	s.start()
	s.until("rules in force", func() bool { return s.status().Rules != "" })
	before := s.status().Rules
	s.write("rules.xml", "<rules>\n  <rule name='a'><event_attrs/></rule>\n  <rul/>\n</rules>")
	out, errs, err := s.try("reload")
	file := s.file("rules.xml")
	want := file + ":2:3: the rule has no <event_params>\n" + file + ":3:3: unknown element <rul> in <rules>: did you mean rule?\nwhat was in force stays in force\n"
	if err == nil || strings.Contains(out, "rules in force") || errs != want {
		t.Errorf("bad rules: %v\n%s%s", err, out, cmp.Diff(want, errs))
	}
	if now := s.status().Rules; now != before {
		t.Errorf("rules %s, want the old %s", now, before)
	}
	s.write("rules.xml", "<rules/>")
	out = s.run("reload")
	now := s.status().Rules
	if now == before || !strings.Contains(out, "router         rules in force: sha256:"+now+", 0 rules\n") {
		t.Errorf("good rules: %q, in force %s", out, now)
	}
}

// A program that does not run is shown, and is no error.
func TestStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib")
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	s.start()
	s.send("plain")
	s.until("the outage shows", func() bool { return s.status().Sinks["uralsib"].Outage != nil })
	st := s.status()
	for name, running := range map[string]bool{"edge": true, "router": true, "sink-uralsib": true, "sink-proxima": false} {
		if p := st.program(name); p.Running != running || p.Error != "" {
			t.Errorf("%s: running %v, error %q", name, p.Running, p.Error)
		}
	}
	u := st.Sinks["uralsib"]
	if u.States["failed"] != 1 || u.Oldest == nil || u.Age == nil || *u.Age < 0 || *u.Age > 60 || u.Outage.Next.Before(u.Outage.Since) {
		t.Errorf("uralsib: %+v", u)
	}
	if len(st.Store) != 3 || st.Store["EVENTS"].Messages != 1 || st.Store["EVENTS"].MaxBytes != 64<<20 || st.LastEvent == nil || st.LastHeartbeat != nil || len(st.Problems) != 0 {
		t.Errorf("store %+v, last event %v, heartbeat %v, problems %q", st.Store, st.LastEvent, st.LastHeartbeat, st.Problems)
	}
	text := s.run("status")
	for _, line := range []string{`sink-uralsib   running       up \d+ s, OUT for \d+ s \(\d+ failures\), next attempt (now|in \d+ s): .*503`, `sink-proxima   not running`,
		`edge           running       up \d+ s, atm 00000040, \d+ connections, last event \d+ s ago, last heartbeat none since the start`,
		`EVENTS  \[\.{20}\]   0 %  \d+ B of 64\.0 MiB, 1 messages, since .*`, `Rules   sha256:[0-9a-f]{64}`} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(text) {
			t.Errorf("status has no line %s:\n%s", line, text)
		}
	}
}

// What an edge hosts ends with it, and not alone.
func TestStopHosted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib", "proxima")
	s.start()
	for args, want := range map[string]string{
		"stop router": "router is hosted by the edge and ends with it",
		"stop nobody": `unknown program "nobody", known are sink-proxima, sink-uralsib, router, edge`,
	} {
		if _, errs, err := s.try(strings.Fields(args)...); err == nil || !strings.Contains(errs, want) {
			t.Errorf("%s: %v %s", args, err, errs)
		}
	}
	if out := s.run("stop"); !regexp.MustCompile(`^edge has stopped \(\d+\.\d s\)\n$`).MatchString(out) {
		t.Errorf("stop: %q", out)
	}
	if err := s.end(s.ended); err != nil {
		t.Errorf("the edge: %v", err)
	}
	if out, errs, err := s.try("status"); err == nil || out != "" || !strings.HasPrefix(errs, "vestnik: no connection to NATS at "+s.server+" (from --server or NATS_URL): ") {
		t.Errorf("status without a broker: %v\n%s%s", err, out, errs)
	}
}

// Programs of their own are stopped against an event's way.
func TestStopPrograms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	router := s.program("router", app.Router)
	uralsib := s.program("sink-uralsib", app.Sink("uralsib"))
	if out := s.run("stop", "sink-uralsib"); !regexp.MustCompile(`^sink-uralsib has stopped \([\d.]+ s\)\n$`).MatchString(out) {
		t.Errorf("stop sink-uralsib: %q", out)
	}
	if err := s.end(uralsib); err != nil {
		t.Errorf("the sink: %v", err)
	}
	out := s.run("stop")
	if !regexp.MustCompile(`^sink-proxima was not running\nsink-uralsib was not running\nrouter has stopped \([\d.]+ s\)\nedge has stopped \([\d.]+ s\)\n$`).MatchString(out) {
		t.Errorf("stop: %q", out)
	}
	for name, ended := range map[string]<-chan error{"router": router, "edge": s.ended} {
		if err := s.end(ended); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A program has gone when what was in flight has ended and is recorded: only then
// may the next be stopped.
func TestStopWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router")
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Delay = 300 * time.Millisecond })
	s.start()
	s.program("sink-uralsib", app.Sink("uralsib"))
	s.send("plain")
	s.until("in flight", func() bool { return s.status().program("sink-uralsib").sink.Sink.InFlight == 1 })
	s.run("stop", "sink-uralsib")
	if d := cmp.Diff([]string{"plain delivered"}, s.queue()); d != "" {
		t.Error(d)
	}
}

// A command that reads when the broker goes says so and ends.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	cmd := newRoot()
	cmd.SetArgs([]string{"probe", "--server", s.server})
	probe := queueCommand()
	probe.Use, probe.PreRunE = "probe", nil
	probe.RunE = linked(func(ctx context.Context, _ *cobra.Command, _ *link, _ []string) error {
		s.stop()
		<-ctx.Done()
		return ctx.Err()
	})
	cmd.AddCommand(probe)
	done := make(chan error, 1)
	go func() { done <- cmd.Execute() }()
	select {
	case err := <-done:
		if err != errLost {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a broker that has gone")
	}
}
