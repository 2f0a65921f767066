package keeper_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a broker with the three streams and a router's memory of releases.
type world struct {
	t       testing.TB
	js      jetstream.JetStream
	seq     uint64 // of EVENTS, as the positions say
	settled []hold.Settled
}

func newWorld(t testing.TB, routeMax int64) *world {
	t.Helper()
	_, js := brokertest.Start(t)
	for _, cfg := range []jetstream.StreamConfig{streams.EventsConfig(1 << 20), streams.RouteConfig(routeMax), streams.DoneConfig(1 << 20)} {
		if _, _, err := streams.Ensure(t.Context(), js, cfg, 0); err != nil {
			t.Fatal(err)
		}
	}
	return &world{t: t, js: js}
}

func (w *world) Settled(clock.Moment) []hold.Settled {
	s := w.settled
	w.settled = nil
	return s
}

func (w *world) publish(subject string, h nats.Header, data []byte) uint64 {
	w.t.Helper()
	ack, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: subject, Header: h, Data: data})
	if err != nil {
		w.t.Fatal(err)
	}
	return ack.Sequence
}

func (w *world) header(id string) nats.Header {
	return nats.Header{"ce-id": {id}, "ce-terminal": {"00000040"}, streams.HeaderPos: {fmt.Sprintf("a.%d.0.0", w.seq)}}
}

// event stores an event and returns its id; the router's messages of it follow
// by out, held or suppressed.
func (w *world) event() string {
	w.t.Helper()
	id := event.NewID(time.Now())
	w.seq = w.publish(streams.In("40", "URAL"), nats.Header{"ce-id": {id}}, []byte("<event/>"))
	return id
}

func (w *world) out(lane string) string {
	w.t.Helper()
	id := w.event()
	w.publish(streams.Out("uralsib", lane, "40", "normal"), w.header(id), []byte("<event/>"))
	return id
}

func (w *world) outcome(id, state string) {
	w.t.Helper()
	data, err := json.Marshal([]streams.Outcome{{ID: id, State: state, Time: time.Now()}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(streams.DoneOne("uralsib", "40"), nil, data)
}

func (w *world) run(opts keeper.Options) *keeper.Keeper {
	w.t.Helper()
	k, _ := w.start(opts)
	return k
}

func (w *world) start(opts keeper.Options) (*keeper.Keeper, func()) {
	w.t.Helper()
	opts.Sinks, opts.Log = []string{"uralsib"}, zerolog.Nop()
	opts.SyncInterval = 5 * time.Millisecond
	if opts.Every == 0 {
		opts.Every = 10 * time.Millisecond
	}
	k := keeper.New(w.js, w, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return k, stop
}

// rounds waits for n more rounds.
func (w *world) rounds(k *keeper.Keeper, n int64) {
	w.t.Helper()
	want := k.Stats().Rounds + n
	waitFor(w.t, func() bool { return k.Stats().Rounds >= want })
	if e := k.Stats().Error; e != "" {
		w.t.Fatal(e)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 10 s in vain")
		}
	}
}

func (w *world) list(stream string) []string {
	w.t.Helper()
	var subjects []string
	err := streams.Scan(w.t.Context(), w.js, stream, streams.From{}, func(m jetstream.Msg) error {
		subjects = append(subjects, m.Subject())
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return subjects
}

func count(list []string, prefix string) (n int) {
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

// What has an outcome leaves the queue; what has none stays, and ROUTE's last
// message stays whatever it is.
func TestQueue(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 5 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	w.outcome(w.out(streams.Normal), streams.StateFailed)
	for range 3 {
		w.outcome(w.out(streams.High), streams.StateAside)
	}
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	k := w.run(keeper.Options{})
	w.rounds(k, 2)
	got := w.list(streams.Route)
	if count(got, "out.uralsib.high") != 0 || count(got, "out.uralsib.normal") != 2 || len(got) != 2 {
		t.Errorf("left: %v", got)
	}
	w.outcome(w.out(streams.High), streams.StateDelivered)
	w.rounds(k, 2)
	if got := w.list(streams.Route); got[len(got)-1] != "out.uralsib.high.00000040.normal" {
		t.Errorf("the position is gone: %v", got)
	}
}

// DONE is read from the mark on: nothing that still matters lies before it.
func TestMark(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 4 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	aside := w.out(streams.Normal)
	w.outcome(aside, streams.StateAside)
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	w.out(streams.Normal)
	mark := func() uint64 {
		s, err := w.js.Stream(t.Context(), streams.Done)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(t.Context(), streams.DoneMark("uralsib"))
		if err != nil {
			return 0
		}
		return streams.ParseMark(m.Data)
	}
	k := w.run(keeper.Options{})
	waitFor(t, func() bool { return mark() == 4 })
	w.rounds(k, 3)
	if mark() != 4 {
		t.Errorf("mark %d, but the event set aside is at 5", mark())
	}
	w.outcome(aside, streams.StateDelivered)
	waitFor(t, func() bool { return mark() > 6 })
	waitFor(t, func() bool { return count(w.list(streams.Done), "mark.uralsib") == 1 }) // the older one goes
}

// Released groups leave no records, held ones stay.
func TestReleased(t *testing.T) {
	for _, place := range []streams.Layout{{}, {Hub: true, Replicas: 1}} {
		testReleased(t, place)
	}
}

func testReleased(t *testing.T, place streams.Layout) {
	t.Helper()
	w := newWorld(t, 1<<20)
	if place.Hub {
		if _, err := w.js.CreateStream(t.Context(), streams.EvtConfig(streams.HubOptions{Replicas: 1, Route: true})); err != nil {
			t.Fatal(err)
		}
	}
	key := hold.Key("0123-uralsib-00000040")
	for range 3 {
		w.publish(streams.Held(string(key)), w.header(w.event()), []byte("<event/>"))
	}
	release := w.publish(streams.Release(string(key)), w.header(""), nil)
	w.publish(streams.Held(string(key)), w.header(w.event()), []byte("<event/>"))
	w.publish(streams.Held("other"), w.header(w.event()), []byte("<event/>"))
	w.settled = []hold.Settled{{Group: key, Release: release}}
	k := w.run(keeper.Options{Place: place})
	w.rounds(k, 3)
	if got := w.list(streams.Route); len(got) != 2 || count(got, "rt.held") != 2 {
		t.Errorf("left: %v", got)
	}
}

// SPEC 4: by keep_bytes and keep_age, oldest first, never behind the router.
func TestRetention(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 20 {
		w.out(streams.Normal)
	}
	for range 10 {
		w.publish(streams.In("40", "URAL"), nil, []byte("<event/>")) // not routed yet
	}
	k := w.run(keeper.Options{KeepBytes: 1})
	waitFor(t, func() bool { return len(w.list(streams.Events)) == 11 })
	w.rounds(k, 3)
	if n := len(w.list(streams.Events)); n != 11 {
		t.Errorf("%d events left, want the 10 that are not routed and the one that may be half routed", n)
	}
	if n := count(w.list(streams.Route), "out."); n != 20 {
		t.Errorf("%d events in the queue: what a sink owes was removed", n)
	}
}

func TestKeepAge(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 20 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	id := w.event()
	w.publish(streams.Suppressed("uralsib", "40"), w.header(id), nil)
	w.out(streams.Normal)
	k, stop := w.start(keeper.Options{Now: func() clock.Moment { return clock.Now().Add(20 * 24 * time.Hour) }})
	w.rounds(k, 3)
	stop()
	if n := len(w.list(streams.Events)); n != 22 {
		t.Fatalf("%d events after 20 days, want 22", n)
	}
	k = w.run(keeper.Options{Now: func() clock.Moment { return clock.Now().Add(31 * 24 * time.Hour) }})
	waitFor(t, func() bool { return len(w.list(streams.Events)) == 1 })
	w.rounds(k, 3)
	if n := count(w.list(streams.Done), "done."); n != 0 {
		t.Errorf("%d outcomes of events that are gone", n)
	}
	if n := count(w.list(streams.Route), "rt.done."); n != 0 {
		t.Errorf("%d suppressed events that are gone", n)
	}
}

// SPEC 4: discard_low gives up events of lane low, oldest first, on record.
func TestDiscardLow(t *testing.T) {
	for _, on := range []bool{false, true} {
		w := newWorld(t, 20_000)
		var low []string
		for range 20 {
			low = append(low, w.out(streams.Low))
			w.out(streams.Normal)
		}
		for range 40 {
			w.event()
			_, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: streams.Out("uralsib", streams.Normal, "40", "normal"), Header: w.header("x"), Data: make([]byte, 250)})
			if err != nil {
				break
			}
		}
		k := w.run(keeper.Options{DiscardLow: on})
		w.rounds(k, 3)
		got := w.list(streams.Done)
		if (count(got, "done.uralsib.discarded") > 0) != on {
			t.Fatalf("discard_low %v: DONE %v", on, got)
		}
		if !on {
			continue
		}
		var list []streams.Outcome
		from := streams.From{Subjects: []string{streams.DoneDiscarded("uralsib")}}
		err := streams.Scan(t.Context(), w.js, streams.Done, from, func(m jetstream.Msg) error {
			some, err := streams.ParseOutcomes(m.Data())
			list = append(list, some...)
			return err
		})
		if err != nil || list[0].ID != low[0] || list[0].State != streams.StateDiscarded {
			t.Errorf("given up first: %+v, %v", list, err)
		}
		if left := count(w.list(streams.Route), "out.uralsib.normal"); left < 20 {
			t.Errorf("%d normal events left", left)
		}
	}
}

// SPEC 4: purge_delivered_on_start.
func TestPurgeOnStart(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 20 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	owed := w.out(streams.Normal)
	k := w.run(keeper.Options{PurgeOnStart: true})
	waitFor(t, func() bool { return len(w.list(streams.Events)) == 1 })
	w.rounds(k, 2)
	if n := count(w.list(streams.Route), "out."); n != 1 {
		t.Errorf("%d in the queue, want the one that is owed, %s", n, owed)
	}
}

// Records of what is settled never fill their stream: the oldest go first.
func TestRecordsMakeRoom(t *testing.T) {
	w := newWorld(t, 100_000)
	for i := 0; ; i++ {
		id := w.event()
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: streams.Suppressed("uralsib", "40"), Header: w.header(id)}); err != nil {
			break
		}
	}
	before := count(w.list(streams.Route), "rt.done.")
	k := w.run(keeper.Options{})
	w.rounds(k, 3)
	after := count(w.list(streams.Route), "rt.done.")
	if after == 0 || after > before*3/4 {
		t.Errorf("%d of %d suppressed events left", after, before)
	}
}
