package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/streams"
)

// hubLine reads the JSON that ends a demo of the hub.
func hubLine(t *testing.T, text string) (s HubSums) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, text)
	}
	return s
}

func TestHubDemoAddsUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	var o out
	if err := RunHub(t.Context(), Options{Duration: 20 * time.Second, Events: 400, Rate: 100, Seed: 3, Dir: dir, Out: &o}); err != nil {
		t.Fatalf("%v\n%s", err, &o)
	}
	s := hubLine(t, o.String())
	if s.Sent != 400 || s.Answered != 400 || !s.OK || len(s.Incidents) != 4 || len(s.Hub.Terminals) != hubTerminals {
		t.Errorf("sums %+v", s)
	}
	all := 0
	for number, n := range s.Hub.Terminals {
		all += n
		if n < 80 {
			t.Errorf("%d events of %s at the hub, want 80 at least", n, number)
		}
	}
	if s.Hub.Events != all || s.Subscriber.Events != all {
		t.Errorf("%d events at the hub, of terminals %d, counted %d", s.Hub.Events, all, s.Subscriber.Events)
	}
	for _, want := range []string{"the line of 00000041 to the hub is cut", "which leads EVT, is stopped", "EVT is led by", "the edge of 00000042 is restarted",
		"the line of 00000043, 00000044 is mended", "the same, in order, each once", "; waiting: "} {
		if !strings.Contains(o.String(), want) {
			t.Errorf("the output does not say %q:\n%s", want, &o)
		}
	}
	for _, file := range []string{"demo.log", "hub/hub-1/hub.conf", "terminals/00000044/hub.creds", "subscribers/counter/hub.creds"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Errorf("--dir is to keep it: %v", err)
		}
	}
}

// Ctrl-C ends the sending and the incidents; what was answered still has to add up. And the
// demo notices what it is to notice: an event that the hub has lost.
func TestInterruptedHubDemo(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var shown out
	o := Options{Duration: 20 * time.Second, Rate: 100, Terminals: 2, Out: &shown, Screen: size{100, 30}}
	o.defaults()
	w, err := openHub(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	show := newHubShow(o, w, time.Now())
	show.start(t.Context())
	breaks := &breaks{w: w, say: show.say, began: time.Now()}
	go func() {
		for !strings.Contains(shown.String(), "the line of 00000041 is cut") {
			time.Sleep(10 * time.Millisecond) // between two looks
		}
		interrupt()
	}()
	if err := errors.Join(w.sending(ctx, t.Context(), o, breaks, show), w.drain(t.Context())); err != nil {
		t.Fatal(err)
	}
	show.stop()
	incidents, wrong := breaks.done()
	if wrong != nil {
		t.Error(wrong)
	}
	s := w.mustSums(t, incidents)
	if !s.OK || s.Sent == 0 || s.Sent >= 1600 || len(s.Incidents) != 1 || s.Incidents[0].What != "line of 00000041 cut" {
		t.Errorf("sums %+v: %s", s, failedOf(s.checks))
	}
	if text := shown.String(); strings.Index(text, leave) > strings.Index(text, "Interrupted:") || !strings.Contains(text, leave) {
		t.Error("the terminal must be given back before anything else is printed")
	}
	if got := failedOf(w.mustSums(t, nil).checks); !strings.Contains(got, "the incidents were played") {
		t.Errorf("no incidents show as %q", got)
	}
	evt, err := w.js.Stream(t.Context(), streams.EvtStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := evt.DeleteMsg(t.Context(), 17); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" at the hub: event ", "the subscriber counted"} {
		if got := failedOf(w.mustSums(t, incidents).checks); !strings.Contains(got, want) {
			t.Errorf("the loss shows as %q", got)
		}
	}
}

func (w *hubWorld) mustSums(t *testing.T, incidents []Incident) *HubSums {
	t.Helper()
	s, err := w.sums(t.Context(), incidents)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDifference(t *testing.T) {
	t.Parallel()
	edge := []stored{{pos: "x.1.0.0", id: "a"}, {pos: "x.2.0.0", id: "b"}, {pos: "x.2.1.0", id: "c"}}
	change := func(f func([]stored) []stored) []stored { return f(slices.Clone(edge)) }
	for name, hub := range map[string][]stored{
		"":        edge,
		"lost":    edge[:2],
		"more":    change(func(l []stored) []stored { return append(l, stored{id: "d"}) }),
		"twice":   change(func(l []stored) []stored { return slices.Insert(l, 1, l[0]) }),
		"order":   change(func(l []stored) []stored { l[0], l[1] = l[1], l[0]; return l }),
		"changed": change(func(l []stored) []stored { l[1].raw[0] = 1; return l }),
		"place":   change(func(l []stored) []stored { l[2].pos = "x.3.0.0"; return l }),
		"subject": change(func(l []stored) []stored { l[0].subject = "evt.x"; return l }),
	} {
		if got := difference(edge, hub); (got == "") != (name == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func someHubShot() hubShot {
	s := hubShot{elapsed: 12 * time.Second, duration: 20 * time.Second, phase: "waiting for what is not at the hub yet", events: 1234567, rate: 98765,
		counted: 987654, counts: map[string]int{"critical": 123456, "warning": 123456, "normal": 740730, "other": 12}}
	for i := range 30 {
		s.terminals = append(s.terminals, terminalShot{number: "00000040", stored: 123456, waiting: i * 1000, server: "hub-1", cut: i%3 == 1, off: i%3 == 2})
	}
	s.servers = []serverShot{{"hub-1", true, true, 3}, {"hub-2", false, false, 0}, {"hub-3", true, false, 2}}
	for range 40 {
		s.latest = append(s.latest, arrival{time.Now(), "00000040", "critical", "Замятие купюр\x1b[2J " + strings.Repeat("очень долго ", 20), time.Hour})
		s.said = append(s.said, said{time.Second, "Incident: " + strings.Repeat("много ", 50)})
	}
	return s
}

func TestHubPictureFitsAnyScreen(t *testing.T) {
	t.Parallel()
	for _, at := range []size{{80, 24}, {100, 30}, {120, 40}, {79, 20}, {60, 18}, {40, 12}, {20, 5}, {300, 100}} {
		var b bytes.Buffer
		newDashboard(&b, at, false).draw(someHubShot())
		lines := strings.Split(strings.TrimSuffix(strings.TrimPrefix(b.String(), enter+begin), finish), "\r\n")
		if len(lines) > at.height {
			t.Errorf("%v: %d lines", at, len(lines))
		}
		for _, l := range lines {
			l = strings.TrimSuffix(l, "\x1b[K")
			if strings.ContainsRune(l, '\x1b') || cells(l) > at.width {
				t.Errorf("%v: a line of %d columns: %q", at, cells(l), l)
			}
			if at.width >= hubNarrow && strings.HasSuffix(l, "…") && strings.Contains(l, "EVT") {
				t.Errorf("%v: the subscriber is cut: %s", at, l)
			}
		}
		if text := b.String(); at.height >= 18 && (!strings.Contains(text, "critical 123,456") && at.width >= hubNarrow || !strings.Contains(text, "VESTNIK")) {
			t.Errorf("%v: %d bytes without what matters", at, len(text))
		}
	}
}

func TestHubOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range []Options{{Terminals: maxHubTerminals + 1}, {Duration: time.Millisecond}} {
		bad.Out = &out{}
		if RunHub(t.Context(), bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
