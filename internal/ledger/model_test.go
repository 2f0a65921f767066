package ledger_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/streams"
)

// TestAgreesWithModel writes what router, sinks and keeper would write and remove,
// in any order that they may, and compares the ledger with a plain list of what
// each event is to be.
func TestAgreesWithModel(t *testing.T) {
	t.Parallel()
	dir, run := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		w := newWorldIn(t, filepath.Join(dir, fmt.Sprint(run)), rt.Cleanup)
		m := &model{world: w, rt: rt, base: time.Now().Add(-time.Hour), groups: map[string][]*owed{}}
		rt.Repeat(map[string]func(*rapid.T){
			"arrive":  m.arrive,
			"release": func(*rapid.T) { m.release(false) },
			"outcome": m.outcome,
			"discard": m.keeperQueue,
			"unhold":  m.keeperHeld,
			"trim":    m.keeperEvents,
			"forget":  m.keeperDone,
		})
		if rapid.Bool().Draw(rt, "cut off") {
			m.release(true)
		}
		m.check()
	})
}

// model is what the streams are to mean.
type model struct {
	*world
	rt      *rapid.T
	base    time.Time
	arrived int
	all     []*owed // in the order of EVENTS, of one event by sink
	groups  map[string][]*owed
	cut     bool // the last release is half done: the router writes nothing more
}

// owed is an event for a sink.
type owed struct {
	entry ledger.Entry
	e     *event.Event
	input uint64 // in EVENTS
	out   uint64 // in ROUTE, 0 = not there
	held  uint64 // in ROUTE, 0 = not there
	freed bool   // its release is complete
	done  uint64 // of the last outcome, in DONE
	gone  bool   // nothing tells of it any more
}

func (o *owed) final() bool { return streams.Final(o.entry.State) }

// pick draws one of those that ok chooses; nil if there is none.
func (m *model) pick(name string, ok func(*owed) bool) *owed {
	var list []*owed
	for _, o := range m.all {
		if !o.gone && ok(o) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(m.rt, name)]
}

// arrive stores events as one message of EVENTS and routes them.
func (m *model) arrive(*rapid.T) {
	if m.cut {
		return
	}
	var list []*event.Event
	for range rapid.IntRange(1, 3).Draw(m.rt, "events") {
		m.arrived++
		e := m.event("any")
		e.ID = event.NewID(m.base.Add(time.Duration(m.arrived) * time.Second))
		m.ids[e.ID] = fmt.Sprint(m.n)
		e.Terminal = rapid.SampledFrom([]string{"00000040", "00000041"}).Draw(m.rt, "terminal")
		list = append(list, e)
	}
	msg := &nats.Msg{Subject: streams.InBatch, Data: event.AppendBatch(nil, list), Header: nats.Header(event.BatchHeader())}
	if len(list) == 1 {
		msg = &nats.Msg{Subject: streams.In(list[0].Terminal, "URAL"), Data: list[0].Raw, Header: nats.Header{}}
		list[0].SetHeader(event.Header(msg.Header))
	}
	input := m.publish(msg)
	for _, e := range list {
		for _, sink := range rapid.SampledFrom([][]string{{"uralsib"}, {"proxima"}, {"proxima", "uralsib"}}).Draw(m.rt, "sinks") {
			m.output(e, sink, input)
		}
	}
}

func (m *model) output(e *event.Event, sink string, input uint64) {
	routed := *e
	routed.Rule = rapid.SampledFrom([]string{"", "one", "правило два"}).Draw(m.rt, "rule")
	routed.Lane = rapid.SampledFrom(streams.Lanes).Draw(m.rt, "lane")
	o := &owed{e: &routed, input: input, entry: ledger.Entry{ID: e.ID, Terminal: e.Terminal, Sink: sink, Lane: routed.Lane, Rule: routed.Rule}}
	m.all = append(m.all, o)
	switch rapid.SampledFrom([]string{"out", "held", "held", "never"}).Draw(m.rt, "output") {
	case "out":
		o.entry.State, o.out = streams.StatePending, m.routeMsg(streams.Out(sink, routed.Lane, e.Terminal, e.Severity), o)
	case "held":
		group := "g-" + sink + "-" + e.Terminal
		o.entry.State = streams.StateHeld
		o.held = m.routeMsg(streams.Held(group), o, streams.HeaderSink, sink)
		m.groups[group] = append(m.groups[group], o)
	case "never":
		o.entry.State = streams.StateSuppressed
		m.routeMsg(streams.Suppressed(sink, e.Terminal), o)
	}
}

func (m *model) routeMsg(subject string, o *owed, headers ...string) uint64 {
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}}
	o.e.SetHeader(event.Header(msg.Header))
	if !strings.HasPrefix(subject, "rt.done.") {
		msg.Data = o.e.Raw
	}
	for i := 0; i < len(headers); i += 2 {
		msg.Header[headers[i]] = []string{headers[i+1]}
	}
	return m.publish(msg)
}

// release lets a group go; cut = the router dies on the way.
func (m *model) release(cut bool) {
	var groups []string
	for g, list := range m.groups {
		if len(list) > 0 {
			groups = append(groups, g)
		}
	}
	if m.cut || len(groups) == 0 {
		return
	}
	slices.Sort(groups)
	group := rapid.SampledFrom(groups).Draw(m.rt, "group")
	list := m.groups[group]
	n := len(list)
	if m.cut = cut; cut {
		n = rapid.IntRange(0, n-1).Draw(m.rt, "out before the end")
	}
	seq := m.publish(&nats.Msg{Subject: streams.Release(group), Header: nats.Header{streams.HeaderItems: {fmt.Sprint(len(list))}}})
	for i, o := range list[:n] {
		o.out = m.routeMsg(streams.Out(o.entry.Sink, o.entry.Lane, o.entry.Terminal, o.e.Severity), o, streams.HeaderRelease, fmt.Sprintf("%d.%d", seq, i))
		o.entry.State, o.freed = streams.StatePending, true
	}
	m.groups[group] = nil
}

// outcome is what a sink records of an event in its queue, or set aside.
func (m *model) outcome(*rapid.T) {
	o := m.pick("event", func(o *owed) bool { return !o.final() && o.entry.State != streams.StateHeld })
	if o == nil {
		return
	}
	next := []string{streams.StateDelivered, streams.StateExpired, streams.StateDiscarded, streams.StateAside}
	if o.out > 0 && o.entry.State != streams.StateAside {
		next = append(next, streams.StateFailed)
	}
	x := streams.Outcome{ID: o.e.ID, State: rapid.SampledFrom(next).Draw(m.rt, "state"), Terminal: o.e.Terminal, Lane: o.e.Lane, Rule: o.e.Rule,
		Attempts: o.entry.Attempts + 1, Time: time.Now()}
	if x.State == streams.StateAside {
		x.Error, x.Event = "400", event.AppendJSON(nil, o.e)
	} else if x.State == streams.StateFailed {
		x.Error = "503"
	}
	data, err := json.Marshal([]streams.Outcome{x})
	if err != nil {
		m.rt.Fatal(err)
	}
	o.done = m.publish(&nats.Msg{Subject: streams.DoneOne(o.entry.Sink, o.e.Terminal), Data: data})
	o.entry.State, o.entry.Attempts, o.entry.Error = x.State, x.Attempts, x.Error
}

// keeperQueue removes an event whose outcome DONE has from its queue.
func (m *model) keeperQueue(*rapid.T) {
	last := m.last()
	o := m.pick("resolved", func(o *owed) bool {
		return o.out > 0 && o.out < last && (o.final() || o.entry.State == streams.StateAside)
	})
	if o != nil {
		m.remove(streams.Route, o.out)
		o.out = 0
	}
}

// keeperHeld removes what complete releases have let go.
func (m *model) keeperHeld(*rapid.T) {
	if o := m.pick("released", func(o *owed) bool { return o.held > 0 && o.freed && !m.cut }); o != nil {
		m.remove(streams.Route, o.held)
		o.held = 0
	}
}

// keeperEvents removes the front of EVENTS: all is routed.
func (m *model) keeperEvents(*rapid.T) {
	o := m.pick("first to keep", func(o *owed) bool { return o.input > 0 })
	if o == nil {
		return
	}
	m.purge(streams.Events, o.input)
	for _, p := range m.all {
		if p.input < o.input {
			p.input = 0
		}
	}
}

// keeperDone removes an outcome that is final, of an event that neither EVENTS nor
// its queue has. What a complete release let go may lie in ROUTE yet.
func (m *model) keeperDone(*rapid.T) {
	o := m.pick("settled", func(o *owed) bool { return o.final() && o.done > 0 && o.out == 0 && o.input == 0 })
	if o == nil {
		return
	}
	for _, p := range m.all { // as the keeper, from the front: nothing else may go with it
		if p.done > 0 && p.done <= o.done && !p.gone && !(p.final() && p.out == 0 && p.input == 0) {
			return
		}
	}
	m.purge(streams.Done, o.done+1)
	for _, p := range m.all {
		p.gone = p.gone || p.done > 0 && p.done <= o.done
	}
}

func (m *model) last() uint64 { return m.stream(streams.Route).CachedInfo().State.LastSeq }

func (m *model) stream(name string) jetstream.Stream {
	s, err := m.js.Stream(m.t.Context(), name)
	if err != nil {
		m.rt.Fatal(err)
	}
	return s
}

func (m *model) remove(stream string, seq uint64) {
	if err := m.stream(stream).DeleteMsg(m.t.Context(), seq); err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) purge(stream string, first uint64) {
	if err := m.stream(stream).Purge(m.t.Context(), jetstream.WithPurgeSequence(first)); err != nil {
		m.rt.Fatal(err)
	}
}

// want is the list that a query is to give.
func (m *model) want(q ledger.Query) []ledger.Entry {
	var list []ledger.Entry
	for _, o := range m.all {
		x := o.entry
		if o.gone || q.Sink != "" && q.Sink != x.Sink || q.Terminal != "" && q.Terminal != x.Terminal ||
			len(q.States) > 0 && !slices.Contains(q.States, x.State) {
			continue
		}
		x.Time = o.e.Time
		list = append(list, x)
	}
	if q.Limit > 0 {
		list = list[:min(q.Limit, len(list))]
	}
	return list
}

func (m *model) check() {
	all := []string{""}
	q := ledger.Query{
		Sink:     rapid.SampledFrom(append(all, "uralsib", "proxima")).Draw(m.rt, "sink"),
		Terminal: rapid.SampledFrom(append(all, "00000041")).Draw(m.rt, "terminal"),
		States:   rapid.SampledFrom([][]string{nil, {"held"}, {"pending", "failed", "aside"}, {"delivered"}, {"suppressed", "discarded"}}).Draw(m.rt, "states"),
		Limit:    rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(m.rt, "limit"),
	}
	var got []ledger.Entry
	err := ledger.Read(m.t.Context(), m.js, q, func(e ledger.Entry) error {
		n, _ := event.Lookup(e.Attributes, "n")
		if n != m.ids[e.ID] && m.told(e) {
			m.rt.Errorf("event %s (%s): attributes %v", m.ids[e.ID], e.State, e.Attributes)
		}
		if !m.told(e) {
			e.Time = m.timeOf(e) // what is left tells the receipt at best
		}
		e.Attributes = nil
		got = append(got, e)
		return nil
	})
	if err != nil {
		m.rt.Fatal(err)
	}
	if d := cmp.Diff(m.want(q), got); d != "" {
		m.rt.Fatalf("%+v (-want +got):\n%s", q, d)
	}
	m.checkCount()
}

func (m *model) checkCount() {
	all, err := ledger.Count(m.t.Context(), m.js)
	if err != nil {
		m.rt.Fatal(err)
	}
	want := map[string]map[string]int{}
	for _, x := range m.want(ledger.Query{}) {
		if want[x.Sink] == nil {
			want[x.Sink] = map[string]int{}
			for _, s := range streams.States {
				want[x.Sink][s] = 0
			}
		}
		want[x.Sink][x.State]++
	}
	got := map[string]map[string]int{}
	for sink, tally := range all {
		got[sink] = tally.Counts
	}
	if d := cmp.Diff(want, got); d != "" {
		m.rt.Fatalf("counts (-want +got):\n%s", d)
	}
}

// told says whether a stream still has the event with its XML.
func (m *model) told(e ledger.Entry) bool {
	o := m.owed(e)
	return o.input > 0 || o.out > 0 || o.held > 0 && !o.freed || o.entry.State == streams.StateAside
}

func (m *model) timeOf(e ledger.Entry) time.Time { return m.owed(e).e.Time }

func (m *model) owed(e ledger.Entry) *owed {
	for _, o := range m.all {
		if o.entry.ID == e.ID && o.entry.Sink == e.Sink {
			return o
		}
	}
	m.rt.Fatalf("unknown entry %+v", e)
	return nil
}
