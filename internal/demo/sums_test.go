package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"vestnik/internal/event"
	"vestnik/internal/rules"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// scene is a small demo without programs: two events for uralsib, one delivered
// and one suppressed, and everything adds up.
type scene struct {
	tally    *tally
	sent     sentCounts
	monitors map[string]*simulate.Monitor
	ids      [2]string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	set, err := rules.Parse("rules.xml", []byte("<rules><rule><event_attrs noise='_EXIST'/><event_params delivery='never'/></rule></rules>"))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{tally: newTally(set, map[string][]string{"URAL": {"uralsib"}}, []string{"uralsib"}),
		sent:     sentCounts{tags: map[string]bool{"a": true, "b": true}},
		monitors: map[string]*simulate.Monitor{"uralsib": simulate.NewUralsib(simulate.UralsibOptions{}).Monitor}}
	now := time.Now()
	for i, attrs := range [][]event.Attr{{{Name: tagName, Value: "a"}}, {{Name: tagName, Value: "b"}, {Name: "noise", Value: "1"}}} {
		s.ids[i] = event.NewID(now)
		s.tally.event(&event.Event{ID: s.ids[i], Signature: "URAL", Attrs: attrs})
	}
	b := s.book()
	b.change(s.ids[0], func(e *entry) { e.route, e.done = streams.StatePending, streams.StateDelivered })
	b.change(s.ids[1], func(e *entry) { e.route = streams.StateSuppressed })
	s.arrive(t, s.ids[0])
	return s
}

func (s *scene) book() *book { return s.tally.sinks["uralsib"] }

// arrive has the monitoring system confirm an event.
func (s *scene) arrive(t *testing.T, id string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/monitor?severity=normal&device=0", nil)
	r.Header.Set("Ce-Id", id)
	w := httptest.NewRecorder()
	s.monitors["uralsib"].ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("simulated uralsib: %d %s", w.Code, w.Body)
	}
}

func TestSumsHold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if got := sums(s.tally, s.sent, s.monitors); !got.settled() {
		t.Errorf("does not add up: %s", got.failed())
	}
}

// Whatever goes wrong between the sources, a sum shows it.
func TestSumsFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm func(*testing.T, *scene)
		want string
	}{
		"answered and not stored": {func(_ *testing.T, s *scene) { s.sent.tags["c"] = true }, "not in EVENTS: 1"},
		"stored twice":            {func(_ *testing.T, s *scene) { s.tally.stored++ }, "in EVENTS 3 = answered with code 0 2"},
		"not routed":              {func(_ *testing.T, s *scene) { forget(s, s.ids[1]) }, "by the rules 2 = delivered 1 + suppressed 0"},
		"delivered though suppressed": {func(t *testing.T, s *scene) {
			s.book().change(s.ids[1], func(e *entry) { e.route, e.done = streams.StatePending, streams.StateDelivered })
			s.arrive(t, s.ids[1])
		}, "by the rules 2 = delivered 2"},
		"in the queue twice": {func(_ *testing.T, s *scene) { s.book().twice++ }, "beyond the first of an event: 1"},
		"recorded and never arrived": {func(_ *testing.T, s *scene) {
			s.monitors["uralsib"] = simulate.NewUralsib(simulate.UralsibOptions{}).Monitor
		}, "confirmed by the monitoring system 0 = delivered 1"},
		"arrived and never recorded":  {func(t *testing.T, s *scene) { s.arrive(t, event.NewID(time.Now())) }, "monitoring system 2 = delivered 1"},
		"delivered and not in ROUTE":  {func(_ *testing.T, s *scene) { s.book().change(s.ids[0], func(e *entry) { e.route = "" }) }, "by the rules 2"},
		"an event of nobody in ROUTE": {func(_ *testing.T, s *scene) { s.book().change("x", func(e *entry) { e.route = streams.StateHeld }) }, "held 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			test.harm(t, s)
			if got := sums(s.tally, s.sent, s.monitors); got.Holds() || !strings.Contains(got.failed(), test.want) {
				t.Errorf("failed sums %q, want one that says %q", got.failed(), test.want)
			}
		})
	}
}

func forget(s *scene, id string) {
	b := s.book()
	b.change(id, func(e *entry) { e.route, e.done = "", "" })
	delete(b.byID, id)
}

// The followers of ROUTE and DONE run apart: the counts come out the same.
func TestTallyInAnyOrder(t *testing.T) {
	t.Parallel()
	b := newTally(nil, nil, []string{"uralsib"}).sinks["uralsib"]
	b.change("a", func(e *entry) { e.done = streams.StateFailed; e.lane = streams.Low })
	b.change("a", func(e *entry) { e.route, e.lane = streams.StatePending, streams.Low })
	if b.counts[streams.StateFailed] != 1 || b.counts[streams.StatePending] != 0 || b.waiting[streams.Low] != 1 {
		t.Errorf("counts %v, waiting %v", b.counts, b.waiting)
	}
	b.change("a", func(e *entry) { e.done = streams.StateDelivered })
	if b.counts[streams.StateDelivered] != 1 || b.counts[streams.StateFailed] != 0 || b.waiting[streams.Low] != 0 {
		t.Errorf("counts %v, waiting %v", b.counts, b.waiting)
	}
}
