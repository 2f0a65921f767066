package router_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// SPEC 3: no event enters a sink's queue twice, also when other rules have other sinks for it.
func TestNewRulesLeaveOldEventsAlone(t *testing.T) {
	const rule = `<rules><rule name='a'><event_attrs kind='x'/><event_params sinks='%s'/></rule></rules>`
	before, after := fmt.Sprintf(rule, "uralsib"), fmt.Sprintf(rule, "proxima,uralsib")
	cases := map[string]func(*world, *router.Router, func()){
		"restart": func(w *world, _ *router.Router, stop func()) {
			stop()
			w.run(after)
		},
		"reload, then another session": func(w *world, r *router.Router, stop func()) {
			if err := r.Reload(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			stop()
			w.start(r)
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			opts, set := w.options(before)
			opts.Load = func() (*rules.Set, error) { return rules.Parse("rules.xml", []byte(after)) }
			r, stop := w.start(router.New(w.nc, set, opts))
			w.send("x")
			w.want("rt.rules", "out.uralsib.normal.00000040.normal 1")
			change(w, r, stop)
			w.send("x")
			w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "rt.rules",
				"out.proxima.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 2")
		})
	}
}

// SPEC 2: an unknown severity is kept and delivered as it is, however long; nor does it stop the others.
func TestLongSeverity(t *testing.T) {
	w := newWorld(t)
	w.run("<rules/>")
	long := func() *event.Event {
		e := w.event("plain")
		e.Severity = strings.Repeat("Ы", 30_000) // of the 65,535 bytes that a frame may have
		e.Raw = fmt.Appendf(nil, `<event severity="%s" device="12" n="%d"/>`, e.Severity, w.n)
		return e
	}
	alone, first, second := long(), long(), w.event("plain")
	m := &nats.Msg{Subject: streams.In("40", "URAL"), Data: alone.Raw, Header: nats.Header{}}
	alone.SetHeader(event.Header(m.Header))
	batch := &nats.Msg{Subject: streams.InBatch, Data: event.AppendBatch(nil, []*event.Event{first, second}), Header: nats.Header(event.BatchHeader())}
	for _, m := range []*nats.Msg{m, batch} {
		if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
			t.Errorf("not stored: %v", err)
		}
	}
	var got []string
	waitFor(t, func() bool { got = w.queued(); return len(got) >= 3 })
	if d := cmp.Diff([]string{string(alone.Raw), string(first.Raw), string(second.Raw)}, got); d != "" {
		t.Errorf("the queue (-want +got):\n%.2000s", d)
	}
}

// queued is the XML of all events in the sinks' queues.
func (w *world) queued() (list []string) {
	w.t.Helper()
	err := streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{Subjects: []string{"out.>"}}, func(m jetstream.Msg) error {
		list = append(list, string(m.Data()))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}
