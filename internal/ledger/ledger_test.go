package ledger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/event"
	"vestnik/internal/keeper"
	"vestnik/internal/ledger"
	"vestnik/internal/sink"
	"vestnik/streams"
)

func TestEveryState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send("plain", "drop", "three", "urgent", "short", "three", "bad")
	w.want() // not routed: no state yet
	stopRouter := w.route()
	queued := []string{
		`1 pending normal ""`,
		`2 suppressed normal "без доставки"`,
		`3 held normal "three"`,
		`4 pending high "urgent"`,
		`5 pending normal "short"`,
		`6 held normal "three"`,
		`7 pending normal ""`,
	}
	w.want(queued...)

	w.setAnswer(func(string) error { return errors.New("503 Service Unavailable") })
	stopSink := w.deliver(0)
	var got []string
	waitFor(t, func() bool {
		got = w.read(ledger.Query{States: []string{streams.StateFailed}})
		return len(got) > 0
	}, func() string { return "no failure" })
	stopSink()
	for _, line := range got {
		if !regexp.MustCompile(`^[1457] failed (normal|high) "\w*" attempts=[1-9]\d* error=503 Service Unavailable$`).MatchString(line) {
			t.Errorf("failed: %s", line)
		}
	}

	w.send("three") // releases all three
	w.setAnswer(func(n string) error {
		if n == "7" {
			return sink.Rejected(errors.New("400 Bad Request"))
		}
		return nil
	})
	waitFor(t, func() bool { return len(w.read(ledger.Query{States: []string{streams.StateHeld}})) == 0 }, func() string { return "still held" })
	stopRouter()
	w.deliver(time.Minute)
	attempts := regexp.MustCompile(` attempts=[1-9]\d*`)
	want := []string{
		`1 delivered normal ""`,
		`2 suppressed normal "без доставки"`,
		`3 delivered normal "three"`,
		`4 delivered high "urgent"`,
		`5 expired normal "short"`,
		`6 delivered normal "three"`,
		`7 aside normal "" error=400 Bad Request`,
		`8 delivered normal "three"`,
	}
	waitFor(t, func() bool {
		got = w.read(ledger.Query{})
		for i := range got {
			got[i] = attempts.ReplaceAllString(got[i], "")
		}
		return cmp.Equal(want, got)
	}, func() string { return cmp.Diff(want, got) })
	w.keep()
	aside := []string{`7 aside normal "" attempts=1 error=400 Bad Request`}
	if got = w.read(ledger.Query{States: []string{streams.StateAside}}); len(got) == 1 {
		got[0] = attempts.ReplaceAllString(got[0], " attempts=1") // it may have failed before
	}
	if d := cmp.Diff(aside, got); d != "" {
		t.Errorf("after the keeper (-want +got):\n%s", d)
	}
}

// keep runs a keeper until it has removed what it may.
func (w *world) keep() {
	w.t.Helper()
	k := keeper.New(w.js, nobody{}, keeper.Options{Sinks: []string{"uralsib"}, SyncInterval: time.Millisecond, Every: time.Millisecond, Log: zerolog.Nop()})
	stop := w.run(k.Run)
	waitFor(w.t, func() bool { return k.Stats().Rounds >= 3 }, func() string { return "no rounds: " + k.Stats().Error })
	stop()
}

func (w *world) idOf(n string) string {
	for id, number := range w.ids {
		if number == n {
			return id
		}
	}
	w.t.Fatalf("no event %s", n)
	return ""
}

// What an entry says in JSON: every key, also where there is nothing to say.
func TestEntryJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route()
	w.send("plain")
	w.want(`1 pending normal ""`)
	var got map[string]any
	err := ledger.Read(t.Context(), w.js, ledger.Query{Sink: "uralsib"}, func(e ledger.Entry) error {
		data, err := json.Marshal(e)
		return errors.Join(err, json.Unmarshal(data, &got))
	})
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, got["time"].(string))
	if err != nil || time.Since(at).Abs() > time.Minute || at.Location() != time.UTC {
		t.Errorf("time %v: %v", got["time"], err)
	}
	attr := func(name, value string) any { return map[string]any{"name": name, "value": value} }
	want := map[string]any{"id": w.idOf("1"), "terminal": "00000040", "sink": "uralsib", "lane": "normal", "state": "pending", "rule": "",
		"attempts": 0.0, "error": "", "time": got["time"], "attributes": []any{attr("severity", "normal"), attr("device", "12"),
			attr("kind", "plain"), attr("n", "1"), attr("message", "Событие & №1")}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestQueryChooses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send("plain", "urgent", "three")
	w.route()
	w.want(`1 pending normal ""`, `2 pending high "urgent"`, `3 held normal "three"`)
	for _, c := range []struct {
		q    ledger.Query
		want []string
	}{
		{ledger.Query{Sink: "proxima"}, nil},
		{ledger.Query{Terminal: "00000041"}, nil},
		{ledger.Query{Terminal: "00000040", States: []string{"held", "delivered"}}, []string{`3 held normal "three"`}},
		{ledger.Query{Sink: "uralsib", Limit: 1}, []string{`1 pending normal ""`}},
		{ledger.Query{Sink: "uralsib", Limit: 2, States: []string{"pending"}}, []string{`1 pending normal ""`, `2 pending high "urgent"`}},
	} {
		if d := cmp.Diff(c.want, w.read(c.q)); d != "" {
			t.Errorf("%+v (-want +got):\n%s", c.q, d)
		}
	}
	if err := ledger.Read(t.Context(), w.js, ledger.Query{States: []string{"lost"}}, nil); err == nil {
		t.Error("an unknown state is taken")
	}
	stop := failing("enough of it")
	if err := ledger.Read(t.Context(), w.js, ledger.Query{}, func(ledger.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
}

// Before anything has run there are no streams: nothing is owed, no error.
func TestNoStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{streams.Events, streams.Route, streams.Done} {
		if err := w.js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	w.want()
	n, err := ledger.Unrouted(t.Context(), w.js, streams.Layout{})
	if n != 0 || err != nil {
		t.Errorf("unrouted %d, %v", n, err)
	}
	all, err := ledger.Count(t.Context(), w.js, "uralsib")
	if err != nil || len(all) != 1 || len(all["uralsib"].Counts) != len(streams.States) {
		t.Errorf("count %v, %v", all, err)
	}
}

func TestUnrouted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	unrouted := func() uint64 {
		n, err := ledger.Unrouted(t.Context(), w.js, streams.Layout{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	w.send("plain", "plain")
	w.send("plain")
	if n := unrouted(); n != 2 {
		t.Errorf("before the router runs: %d", n)
	}
	stop := w.route()
	waitFor(t, func() bool { return unrouted() == 0 }, func() string { return "never routed" })
	stop()
	w.send("plain")
	if n := unrouted(); n != 1 {
		t.Errorf("behind the position: %d", n)
	}
	route, err := w.js.Stream(t.Context(), streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	if err := route.DeleteMsg(t.Context(), route.CachedInfo().State.LastSeq); err != nil { // as a disk that fails takes it
		t.Fatal(err)
	}
	if n := unrouted(); n != 2 {
		t.Errorf("behind a position whose message is gone: %d", n)
	}
}

// The oldest that a sink owes: not what a rule holds, not what is delivered.
func TestOldest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route()
	w.send("three", "plain", "plain")
	w.want(`1 held normal "three"`, `2 pending normal ""`, `3 pending normal ""`)
	oldest := func() time.Time {
		all, err := ledger.Count(t.Context(), w.js, "uralsib")
		if err != nil {
			t.Fatal(err)
		}
		return all["uralsib"].Oldest
	}
	if got, want := oldest(), event.ReceivedAt(w.idOf("2")); !got.Equal(want) {
		t.Errorf("oldest %v, want %v", got, want)
	}
	w.deliver(0)
	waitFor(t, func() bool { return oldest().IsZero() }, func() string { return "never delivered" })
}

// A view is used up: what is not handed out stays countable.
func TestViewCountsWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route()
	w.send("plain", "plain", "three")
	w.want(`1 pending normal ""`, `2 pending normal ""`, `3 held normal "three"`)
	v, err := ledger.Look(t.Context(), w.js, ledger.Query{Sink: "uralsib", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Tally()["uralsib"].Counts; got["pending"] != 2 || got["held"] != 1 {
		t.Errorf("before: %v", got)
	}
	if err := v.Each(t.Context(), func(ledger.Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := v.Tally()["uralsib"].Counts; got["pending"] != 1 || got["held"] != 1 {
		t.Errorf("after: %v", got)
	}
}

// What a complete release let go is no evidence once its events are settled and
// forgotten, however long ROUTE keeps it.
func TestCompleteReleaseHoldsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route()
	w.deliver(0)
	w.send("three", "three", "three")
	delivered := func(n string) string { return n + ` delivered normal "three" attempts=1` }
	w.want(delivered("1"), delivered("2"), delivered("3"))
	w.send("drop")
	w.want(delivered("1"), delivered("2"), delivered("3"), `4 suppressed normal "без доставки"`)
	for stream, subject := range map[string]string{streams.Route: "out.>", streams.Done: "done.>"} {
		s, err := w.js.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{`4 suppressed normal "без доставки"`}, w.read(ledger.Query{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// An id that is no UUIDv7 tells no time of receipt: it hides not that of the others.
func TestOldestAmongOddIds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	for i := range 20 {
		e := event.Event{ID: fmt.Sprintf("odd-%d", i), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "12", Time: now, Lane: streams.Normal}
		if i == 10 {
			e.ID = event.NewID(now)
		}
		m := nats.NewMsg(streams.Out("uralsib", streams.Normal, e.Terminal, e.Severity))
		e.SetHeader(event.Header(m.Header))
		m.Header.Set(streams.HeaderPos, "abc.1.0.0")
		if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	all, err := ledger.Count(t.Context(), w.js, "uralsib")
	if err != nil || !all["uralsib"].Oldest.Equal(now.UTC().Truncate(time.Millisecond)) || all["uralsib"].Counts["pending"] != 20 {
		t.Errorf("%+v %v", all, err)
	}
}
