package hub_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/hub"
	"vestnik/streams"
)

// Apply changes what differs and nothing else; it refuses limits by which stored events would
// go, and what JetStream cannot change.
func TestApply(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	l := dialLeaf(t, s.h, filepath.Join(s.h.Terminal("40"), hub.TerminalCreds), nil)
	l.publish("evt.00000040.5.critical.a", "", nil, strings.Repeat("x", 5000))
	until(t, "stored", func() bool { info, err := s.evt.Info(t.Context()); return err == nil && info.State.Msgs == 2 })
	js := s.h.JetStream(hub.Operator)
	diff := func(o streams.HubOptions) hub.Difference {
		t.Helper()
		o.Replicas = 1
		list, err := hub.Diff(t.Context(), js, streams.HubStreams(o))
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	for what, o := range map[string]streams.HubOptions{"a limit of 1000 would remove events": {MaxBytes: 1000}, "an age of 1ms would remove events": {KeepAge: time.Millisecond}} {
		d := diff(o)
		if err := d.Apply(t.Context(), js); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d := diff(streams.HubOptions{}); !d.Same() {
		t.Errorf("changed all the same: %+v", d.Changed())
	}
	cfg := s.evt.CachedInfo().Config
	cfg.Metadata, cfg.MaxAge, cfg.AllowRollup, cfg.MaxMsgsPerSubject = map[string]string{"owner": "bank"}, time.Hour, true, 7
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	d := diff(streams.HubOptions{MaxBytes: 1 << 30})
	var names []string
	for _, f := range d.Changed() {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "max_bytes max_age max_msgs_per_subject allow_rollup" {
		t.Errorf("differs in %s", got)
	}
	if err := d.Apply(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	if d := diff(streams.HubOptions{MaxBytes: 1 << 30}); !d.Same() {
		t.Errorf("still differs: %+v", d.Changed())
	}
	info, err := s.evt.Info(t.Context())
	if err != nil || info.State.Msgs != 2 || info.Config.Metadata["owner"] != "bank" {
		t.Errorf("%+v %v", info, err)
	}
	routed, err := hub.Diff(t.Context(), js, streams.HubStreams(streams.HubOptions{Replicas: 1, Route: true, RouteBytes: 1 << 20, DoneBytes: 1 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range routed {
		if err := d.Apply(t.Context(), js); err != nil {
			t.Fatal(err)
		}
	}
	if err := diff(streams.HubOptions{}).Apply(t.Context(), js); err == nil || !strings.Contains(err.Error(), "not routed yet") {
		t.Errorf("without the router that is there: %v", err)
	}
	if err := js.DeleteStream(t.Context(), streams.Route); err != nil {
		t.Fatal(err)
	}
	if err := diff(streams.HubOptions{}).Apply(t.Context(), js); err != nil {
		t.Errorf("without a router that is gone: %v", err)
	}
	if err := js.DeleteStream(t.Context(), streams.EvtStream); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streams.EvtStream, Subjects: []string{"evt.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if err := diff(streams.HubOptions{}).Apply(t.Context(), js); err == nil || !strings.Contains(err.Error(), "storage cannot be changed") {
		t.Errorf("another storage: %v", err)
	}
}

// ROUTE and DONE are made with the limits that the router gives them: that of EVT and a
// quarter of it, 4 GB and a quarter where EVT has none; and are compared where they are set.
func TestApplyLimitsBesideEvt(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	js := s.h.JetStream(hub.Operator)
	for _, c := range []struct{ evt, route, done int64 }{{0, 4 << 30, 1 << 30}, {1 << 30, 1 << 30, 1 << 28}} {
		o := streams.HubOptions{Replicas: 1, Route: true, MaxBytes: c.evt}
		list, err := hub.Diff(t.Context(), js, streams.HubStreams(o))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			if err := d.Apply(t.Context(), js); err != nil {
				t.Fatal(err)
			}
		}
		for name, want := range map[string]int64{streams.Route: c.route, streams.Done: c.done} {
			st, err := js.Stream(t.Context(), name)
			if err != nil || st.CachedInfo().Config.MaxBytes != want {
				t.Errorf("EVT with %d: %s has %d, want %d: %v", c.evt, name, st.CachedInfo().Config.MaxBytes, want, err)
			}
		}
		o.RouteBytes = 1 << 20
		if list, err = hub.Diff(t.Context(), js, streams.HubStreams(o)); err != nil || len(list[1].Changed()) != 1 || list[1].Changed()[0].Name != "max_bytes" || !list[2].Same() {
			t.Errorf("%+v %v", list, err)
		}
		for _, name := range []string{streams.Route, streams.Done} {
			if err := js.DeleteStream(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
}
