package forward

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/streams"
)

// with runs the rest of a test on a hub of its own, with EVT.
func with(t *testing.T, servers int) (*hubtest.Hub, *edge, jetstream.JetStream) {
	t.Helper()
	h := hubtest.Start(t, servers, atm)
	h.MakeEvt(streams.HubOptions{})
	return h, newEdge(t, h.LeafBlock(atm)), h.JetStream()
}

func (e *edge) reported(part string) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return strings.Contains(strings.Join(e.said, "\n"), part)
	}
}

func (e *edge) reports() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.said)
}

func (e *edge) lives() []streams.Life {
	e.t.Helper()
	s, err := e.js.Stream(context.Background(), streams.Events)
	must(e.t, err)
	return streams.Lives(s.CachedInfo().Config.Metadata)
}

// recordedAll waits until the record has what was forwarded.
func (e *edge) recordedAll() {
	e.t.Helper()
	e.awaitForwarded()
	await(e.t, 10*time.Second, func() bool {
		r, ok, err := streams.ReadForwarded(context.Background(), e.js)
		must(e.t, err)
		return ok && r.At() == e.f.Stats().Position
	})
}

func evt(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.Stream(t.Context(), streams.EvtStream)
	must(t, err)
	return s
}

// While the hub refuses, the keeper may remove more and more: that is one gap that grows.
func TestGapGrowsOnce(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(10, 1)
	e.recordedAll()
	cfg := evt(t, js).CachedInfo().Config
	info, err := evt(t, js).Info(t.Context())
	must(t, err)
	cfg.MaxMsgs, cfg.Discard = int64(info.State.Msgs), jetstream.DiscardNew // a full EVT
	_, err = js.UpdateStream(t.Context(), cfg)
	must(t, err)
	e.record(20, 1)
	events, err := e.js.Stream(t.Context(), streams.Events)
	must(t, err)
	for i := range 2 {
		before := e.f.Stats().Refusals
		must(t, events.Purge(t.Context(), jetstream.WithPurgeSequence(uint64(13+i))))
		await(t, 60*time.Second, func() bool { return e.f.Stats().Refusals > before+1 })
	}
	cfg.MaxMsgs = -1
	_, err = js.UpdateStream(t.Context(), cfg)
	must(t, err)
	e.awaitForwarded()
	await(t, 20*time.Second, func() bool { return e.reports() > 0 })
	e.halt() // all that is to be told has been
	if n := e.reports(); n != 1 || !e.reported("11–13")() {
		t.Errorf("%d critical events: %v", n, e.said)
	}
}

// The number is changed while events wait, and changed back: each event is at the hub once,
// under the number that was in force when it went.
func TestRenumbered(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, atm, "41")
	h.MakeEvt(streams.HubOptions{})
	js := h.JetStream()
	e := newEdge(t, h.LeafBlock(atm))
	for i, number := range []string{atm, "00000041", atm} {
		if i > 0 {
			e.halt()
			e.number, e.leaf = number, h.LeafBlock(number)
			e.start()
		}
		e.record(20, 3)
		e.recordedAll()
		info, err := evt(t, js).Info(t.Context(), jetstream.WithSubjectFilter(streams.EvtTerminal(number)))
		must(t, err)
		n := uint64(0)
		for _, k := range info.State.Subjects {
			n += k
		}
		if want := uint64(20 * (i/2 + 1)); n != want || info.State.Msgs != uint64(20*(i+1)) {
			t.Errorf("under %s: %d of %d events at the hub, want %d", number, n, info.State.Msgs, want)
		}
	}
}

// A stranger with a terminal's credentials has opened as many batches as the hub allows: the
// events of others still go, one at a time.
func TestNoBatches(t *testing.T) {
	t.Parallel()
	h, e, _ := with(t, 1)
	e.record(1, 1)
	e.awaitForwarded()
	nc := h.Connect(hubtest.Bank)
	defer nc.Close()
	for i := range 2000 {
		m := nats.NewMsg(streams.Evt("41", "5", "critical", "x"))
		m.Header[batchID], m.Header[batchSequence] = []string{nats.NewInbox()}, []string{"1"}
		must(t, nc.PublishMsg(m))
		if i%100 == 99 {
			must(t, nc.Flush())
		}
	}
	e.record(300, 3)
	e.awaitForwarded()
	if s := e.f.Stats(); s.Refusals == 0 || s.Refusals > 20 {
		t.Errorf("%d refusals: batches were taken, or tried again and again", s.Refusals)
	}
}

// EVT has let go what it had of this edge: forwarding goes on behind the record, with no
// event twice.
func TestExpired(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(40, 7)
	e.recordedAll()
	e.halt()
	must(t, evt(t, js).Purge(t.Context()))
	e.start()
	before := len(e.stored())
	e.record(3, 1)
	e.awaitForwarded()
	equal(t, atHub(t, js), e.stored()[before:])
}

// The hub has another EVT: it gets all that EVENTS has.
func TestNewEvt(t *testing.T) {
	t.Parallel()
	h, e, js := with(t, 1)
	e.record(40, 7)
	e.recordedAll()
	before := e.f.Stats().Position
	must(t, js.DeleteStream(t.Context(), streams.EvtStream))
	e.record(3, 1)
	await(t, 20*time.Second, func() bool { return e.f.Stats().Error == errSilent.Error() })
	r, _, err := streams.ReadForwarded(t.Context(), e.js)
	must(t, err)
	if r.At() != before {
		t.Errorf("on record is %s, which the hub has not confirmed; want %s", r.At(), before)
	}
	h.MakeEvt(streams.HubOptions{})
	e.arrive(h)
}

// A probe is refused with EVT's last sequence, or with that of the subjects of its guard, by one
// server, by three and, in the long form, after their leader has gone; nothing is stored.
func TestProbe(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, atm)
	h.MakeEvt(streams.HubOptions{})
	testProbe(t, h)
}

func testProbe(t *testing.T, h *hubtest.Hub) {
	js := h.JetStream()
	probe := func(guard, subjects string) (uint64, error) {
		m := nats.NewMsg(streams.Evt(atm, "0", "other", "a"))
		m.Header[guard] = []string{"4611686018427387904"}
		if subjects != "" {
			m.Header[lastOf] = []string{subjects}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		answer, err := js.Conn().RequestMsgWithContext(ctx, m)
		if err != nil {
			return 0, err
		}
		return endOfEvt(answer)
	}
	begin := evt(t, js).CachedInfo().State.LastSeq
	last := map[string]uint64{}
	for i := range uint64(4) {
		if got, err := probe(lastSequence, ""); err != nil || got != begin+i {
			t.Errorf("%d servers: end %d, %v; want %d", len(h.Servers), got, err, begin+i)
		}
		for _, life := range []string{"y", "z"} {
			if got, err := probe(lastSubject, streams.EvtLife("41", life)); err != nil || got != last[life] {
				t.Errorf("%d servers: last of life %s %d, %v; want %d", len(h.Servers), life, got, err, last[life])
			}
		}
		life := string(rune('y' + i%2))
		_, err := js.Publish(t.Context(), streams.Evt("41", "0", "normal", life), nil)
		must(t, err)
		last[life] = begin + i + 1
	}
	if len(h.Servers) == 1 || os.Getenv("VESTNIK_LONG") == "" { // an election takes its time
		return
	}
	leader := evt(t, js).CachedInfo().Cluster.Leader
	i := int(leader[len(leader)-1] - '0')
	h.Stop(i)
	await(t, 30*time.Second, func() bool { got, err := probe(lastSequence, ""); return err == nil && got == begin+4 })
	h.StartServer(i)
}

// What was removed before it was forwarded is reported once, also across a restart.
func TestGap(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(10, 1)
	e.recordedAll()
	e.halt()
	leaf := e.leaf
	e.leaf = "" // nobody forwards
	e.start()
	e.record(20, 1)
	events, err := e.js.Stream(t.Context(), streams.Events)
	must(t, err)
	must(t, events.Purge(t.Context(), jetstream.WithPurgeSequence(21)))
	e.halt()
	e.leaf = leaf
	e.start()
	await(t, 20*time.Second, e.reported("номера 11–20"))
	e.awaitForwarded()
	if got := atHub(t, js); len(got) != 20 {
		t.Errorf("the hub has %d events, want the 10 of before and the 10 of after the gap", len(got))
	}
	e.recordedAll()
	e.halt()
	e.start()
	e.record(1, 1)
	e.recordedAll()
	if e.reports() != 1 {
		t.Errorf("reported: %q", e.said)
	}
}

// A copy of the disk goes on under the same numbers: the second to come begins a life of its
// own, and no event of either is missing at the hub, or there twice.
func TestClone(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(30, 4)
	e.recordedAll()
	e.halt()
	clone := &edge{t: t, dir: t.TempDir(), leaf: e.leaf}
	must(t, os.CopyFS(filepath.Join(clone.dir, "data"), os.DirFS(filepath.Join(e.dir, "data"))))
	t.Cleanup(clone.halt)
	e.start()
	e.record(10, 3)
	e.awaitForwarded()
	e.halt()        // two with one number may be there at once; but the order of the test must be known
	clone.leaf = "" // its record lags behind, to within a packed message
	clone.start()
	r, _, err := streams.ReadForwarded(t.Context(), clone.js)
	must(t, err)
	r.Position = streams.Position{Incarnation: clone.lives()[0].ID, Seq: 3, Index: 1}.String()
	must(t, streams.PutForwarded(t.Context(), clone.js, r))
	clone.halt()
	clone.leaf = e.leaf
	clone.start()
	clone.record(12, 5)
	await(t, 20*time.Second, clone.reported("копией этого диска"))
	clone.awaitForwarded()
	if n := len(clone.lives()); n != 2 {
		t.Errorf("%d lives", n)
	}
	e.start()
	e.record(5, 1)
	e.awaitForwarded()
	clone.record(5, 1)
	clone.awaitForwarded()
	got := atHub(t, js)
	equal(t, only(got, e.lives()[0].ID), e.stored())
	fork := clone.lives()[1]
	if fork.Seq != 3 || fork.Index != 2 {
		t.Errorf("the fork is not right behind the record: %+v", fork)
	}
	equal(t, only(got, fork.ID), clone.stored()[10:])
	if len(got) != len(e.stored())+20+17 { // what is behind the record is there in both lives
		t.Errorf("the hub has %d events", len(got))
	}
	if e.reports() != 0 || clone.reports() != 1 {
		t.Errorf("reported: %q, %q", e.said, clone.said)
	}
}

func only(list []string, life string) (some []string) {
	for _, s := range list {
		if strings.HasPrefix(s, life+".") {
			some = append(some, s)
		}
	}
	return some
}

// Somebody else sends under this life while this edge does: it begins another, with what it
// has read already.
func TestForkWhileForwarding(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(5, 1)
	e.awaitForwarded()
	m := nats.NewMsg(streams.Evt(atm, "0", "normal", e.lives()[0].ID))
	m.Header.Set(streams.HeaderPos, at(e.lives()[0].ID, 6, 0).String())
	m.Header.Set("ce-id", event.NewID(time.Now()))
	_, err := js.PublishMsg(t.Context(), m)
	must(t, err)
	before := len(e.stored())
	e.recordedAll() // or the fork begins earlier
	e.record(4, 2)
	e.awaitForwarded()
	lives := e.lives()
	if len(lives) != 2 {
		t.Fatalf("lives %v", lives)
	}
	s := evt(t, js)
	for i, want := range e.stored()[before:] {
		got, err := s.GetMsg(t.Context(), uint64(7+i)) // behind 5 of ours and 1 of the other's
		must(t, err)
		if pos := got.Header.Get(streams.HeaderPos); !strings.HasPrefix(want, pos+" ") || !strings.HasSuffix(got.Subject, "."+lives[1].ID) {
			t.Errorf("%s at %s, want %s", got.Subject, pos, want)
		}
	}
}

// An older image of the disk comes back: the same.
func TestOldImage(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(30, 4)
	e.recordedAll()
	e.halt()
	image := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(image, os.DirFS(filepath.Join(e.dir, "data"))))
	e.start()
	e.record(9, 1)
	e.awaitForwarded()
	e.halt()
	must(t, os.RemoveAll(filepath.Join(e.dir, "data")))
	must(t, os.CopyFS(filepath.Join(e.dir, "data"), os.DirFS(image)))
	e.start()
	before := len(e.stored())
	e.record(6, 2)
	e.awaitForwarded()
	equal(t, only(atHub(t, js), e.lives()[1].ID), e.stored()[before:])
	if len(atHub(t, js)) != 30+9+6 {
		t.Errorf("the hub has %d events", len(atHub(t, js)))
	}
	await(t, 10*time.Second, e.reported("старого образа"))
}

// The disk was lost: the hub's last event is older than EVENTS. That is reported once.
func TestWiped(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(30, 4)
	e.recordedAll()
	e.halt()
	must(t, os.RemoveAll(filepath.Join(e.dir, "data")))
	e.start()
	e.record(6, 2)
	e.awaitForwarded()
	await(t, 20*time.Second, e.reported("создано заново"))
	equal(t, atHub(t, js)[30:], e.stored())
	e.halt()
	e.start()
	e.record(1, 1)
	e.recordedAll()
	if e.reports() != 1 {
		t.Errorf("reported: %q", e.said)
	}
}

// Without rights, or EVT, nothing goes and it is said why; when they are there it goes on.
func TestNoRights(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, atm, "41")
	h.MakeEvt(streams.HubOptions{})
	e := newEdge(t, h.LeafBlock("41")) // the credentials of another terminal
	e.record(5, 1)
	await(t, 20*time.Second, func() bool { return e.f.Stats().Error == errNoResponders.Error() })
	if n := len(atHub(t, h.JetStream())); n != 0 {
		t.Errorf("%d events", n)
	}
	e.halt()
	e.leaf = h.LeafBlock(atm)
	e.start()
	e.arrive(h)
}

// The hub was restored from older disks: what it lacks is sent again, in order.
func TestHubRestored(t *testing.T) {
	t.Parallel()
	h, e, js := with(t, 1)
	e.record(30, 7) // what it lacks begins within a packed message
	e.recordedAll()
	e.halt()
	s := evt(t, js)
	for seq := uint64(21); seq <= 30; seq++ { // what the older disks do not have
		must(t, s.DeleteMsg(t.Context(), seq))
	}
	e.start()
	e.arrive(h)
}

// A life of EVENTS ends, numbers are used again: the hub has what it got of the old life,
// then the new one.
func TestNumbersUsedAgain(t *testing.T) {
	t.Parallel()
	_, e, js := with(t, 1)
	e.record(10, 1)
	e.recordedAll()
	old := e.stored()
	e.halt()
	leaf := e.leaf
	e.leaf = ""
	e.start()
	s, err := e.js.Stream(t.Context(), streams.Events)
	must(t, err)
	cfg := s.CachedInfo().Config
	list := streams.Incarnations(cfg.Metadata)
	must(t, e.js.DeleteStream(t.Context(), streams.Events)) // its end is lost
	streams.SetIncarnations(&cfg, append(list, streams.Incarnation{ID: streams.NewIncarnation(time.Now()), First: 1}))
	_, err = e.js.CreateStream(t.Context(), cfg)
	must(t, err)
	e.record(4, 1)
	e.halt()
	e.leaf = leaf
	e.start() // its position is of the old numbering still: what counts is what the hub has
	await(t, 60*time.Second, func() bool { return len(atHub(t, js)) >= len(old)+4 })
	e.halt()
	e.start()
	e.record(2, 1)
	await(t, 60*time.Second, func() bool { return len(atHub(t, js)) >= len(old)+6 })
	equal(t, atHub(t, js), append(old, e.stored()...))
	if e.reports() != 0 {
		t.Errorf("reported: %q", e.said)
	}
}

// Two edges with one number that cannot hear each other see each other's events at the hub:
// both report it, the younger is to refuse commands, and no event is lost for it.
func TestTwinAtHub(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, atm)
	h.MakeEvt(streams.HubOptions{})
	js := h.JetStream()
	var both []*edge
	for range 2 {
		e := &edge{t: t, dir: t.TempDir(), leaf: h.LeafBlock(atm), every: 50 * time.Millisecond}
		t.Cleanup(e.halt)
		e.start()
		both = append(both, e)
	}
	seen := func(e *edge) *Other {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.other
	}
	await(t, 30*time.Second, func() bool {
		for _, e := range both {
			e.record(1, 1)
		}
		return seen(both[0]) != nil && seen(both[1]) != nil
	})
	if seen(both[0]).Younger == seen(both[1]).Younger {
		t.Errorf("%+v, %+v: one is to be the younger", seen(both[0]), seen(both[1]))
	}
	for _, e := range both {
		await(t, 10*time.Second, e.reported("другого терминала"))
		e.awaitForwarded()
		equal(t, only(atHub(t, js), e.lives()[0].ID), e.stored())
	}
}
