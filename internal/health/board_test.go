package health

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A switched check fails when told to.
type switched struct{ off bool }

func (s *switched) check(name string, l Level) Check {
	return Check{name, l, func(context.Context) (string, bool) { return "detail of " + name, !s.off }}
}

func ask(t *testing.T, b *Board, path string) (int, string) {
	t.Helper()
	b.looking.Lock()
	b.looked = time.Time{} // a new look
	b.looking.Unlock()
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestLevels(t *testing.T) {
	t.Parallel()
	var alive, ready, told switched
	var log bytes.Buffer
	b := NewBoard(zerolog.New(&log), "edge")
	want := func(livez, readyz int, why string) {
		t.Helper()
		if code, body := ask(t, b, "/livez"); code != livez {
			t.Errorf("/livez %d %q, want %d", code, body, livez)
		}
		code, body := ask(t, b, "/readyz")
		if code != readyz || !strings.Contains(body, why) {
			t.Errorf("/readyz %d %q, want %d %q", code, body, readyz, why)
		}
		if code, _ := ask(t, b, "/healthz"); code != readyz {
			t.Errorf("/healthz %d, want %d", code, readyz)
		}
	}
	want(200, 503, "edge: running: ")
	leave := b.Join(Part{Name: "edge", Checks: []Check{alive.check("loop", Alive), ready.check("journal", Ready), told.check("loss", Told)}})
	want(200, 200, "ok\n")
	told.off = true
	want(200, 200, "ok\n")
	ready.off = true
	want(200, 503, "edge: journal: detail of journal\n")
	ready.off, alive.off = false, true
	want(503, 503, "edge: loop: ")
	alive.off = false
	want(200, 200, "ok\n")
	leave()
	want(200, 503, "edge: running: ")
	if n := strings.Count(log.String(), "does not do its job now"); n != 2 {
		t.Errorf("told %d times:\n%s", n, &log)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	var s switched
	b := NewBoard(zerolog.Nop())
	b.Join(Part{Name: "edge", Checks: []Check{s.check("journal", Ready)}})
	look := func() Result {
		t.Helper()
		_, body := ask(t, b, "/healthz")
		var list []Result
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 1 {
			t.Fatalf("%v, %s", err, body)
		}
		return list[0]
	}
	first, again := look(), look()
	if !first.Since.Equal(again.Since) || first.Since.IsZero() {
		t.Errorf("since %s, then %s without a change", first.Since, again.Since)
	}
	s.off = true
	if r := look(); !r.Since.After(first.Since) || r.OK || r.Detail != "detail of journal" {
		t.Errorf("after the change %+v, before %+v", r, first)
	}
}

var events = Counter("test_events_total", "Events.", "lane")

// A part that begins again in its process takes its own place, also when the old
// one leaves late; a check and metrics that panic cost no other's.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := NewBoard(zerolog.Nop(), "edge", "router")
	metrics := func(v float64) func(*Scrape) { return func(s *Scrape) { s.Put(events, v, "low") } }
	leaveOld := b.Join(Part{Name: "edge", Metrics: metrics(1)})
	b.Join(Part{Name: "edge", Metrics: metrics(2)})
	leaveOld()
	b.Join(Part{Name: "router", Metrics: func(*Scrape) { panic("broken") },
		Checks: []Check{{"bad", Told, func(context.Context) (string, bool) { panic("broken") }}}})
	code, body := ask(t, b, "/metrics")
	for _, want := range []string{
		`vestnik_test_events_total{lane="low",part="edge"} 2`, `vestnik_part_starts_total{part="edge"} 2`,
		`vestnik_part_starts_total{part="router"} 1`, `vestnik_check_ok{check="bad",level="told",part="router"} 0`,
	} {
		if code != 200 || !strings.Contains(body, want+"\n") {
			t.Errorf("%d, no %s in\n%s", code, want, body)
		}
	}
	if code, body := ask(t, b, "/readyz"); code != 200 {
		t.Errorf("/readyz %d %s", code, body)
	}
}

// Nobody looks: nothing is kept and nothing fails.
func TestNoBoard(t *testing.T) {
	t.Parallel()
	var b *Board
	b.Join(Part{Name: "edge"})()
	var h *Histogram
	h.Observe(1)
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	h := NewBoard(zerolog.Nop()).Handler()
	for _, c := range []struct {
		method, path string
		want         int
	}{{"HEAD", "/livez", 200}, {"POST", "/metrics", 405}, {"DELETE", "/readyz", 405}, {"GET", "/", 404}, {"GET", "/debug/pprof/", 404}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader("x")))
		if w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	h := NewHistogram("edge", "bench_seconds", "Bench.", []float64{.001, .01, .1, 1})
	b.ReportAllocs()
	for b.Loop() {
		h.Took(3 * time.Millisecond)
	}
}
