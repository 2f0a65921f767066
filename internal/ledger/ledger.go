// Package ledger tells the state of each event for each sink (SPEC 4): held,
// pending, failed, aside, delivered, suppressed, expired, discarded. It only reads;
// what it knows is what ROUTE and DONE say.
//
// # How states are found
//
//   - The last outcome of a sink and event in DONE counts, whatever ROUTE says.
//   - Without an outcome, an `out` in ROUTE is pending, an `rt.done` suppressed.
//   - An `rt.held` is held until the release of its group puts it out. Only ROUTE's
//     last release can be half done, for the router writes nothing else before it is
//     complete: what that one has not put out is still held.
//   - A record of a complete release is no evidence of anything: its events are out,
//     and where ROUTE has let them go, DONE has their outcome.
//
// # Reading order
//
// The streams are read while the system runs. An event moves EVENTS → ROUTE →
// DONE, and within ROUTE from `rt.held` to a later `out`; the keeper removes a record
// only when the next one is stored. So ROUTE is read before DONE: what has left ROUTE
// under the reader's hands has its outcome in DONE by then. The other way round, an
// outcome recorded after DONE was read, and removed from ROUTE before ROUTE was read,
// would make the event vanish. Likewise ROUTE is read up to its end as it is after
// all that was there at the beginning has been read: an event held at the
// beginning and released meanwhile is out before that. EVENTS comes last, for the
// order and the attributes: an event that it has lost by then is taken from where it
// still is owed.
//
// Whatever happens meanwhile, no event shows twice for a sink: there is one record
// per sink and event. An event that was routed when the reading began does not vanish
// (unless retention removes it for good). Its state is that of some moment during
// the reading; two events may be shown as of different moments.
//
// An event that the router has not read yet has no state: Unrouted counts them.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Entry is the state of one event for one sink. All keys are always present.
type Entry struct {
	ID         string       `json:"id"`
	Terminal   string       `json:"terminal"`
	Sink       string       `json:"sink"`
	Lane       string       `json:"lane"`
	State      string       `json:"state"`
	Rule       string       `json:"rule"` // "" = none matched
	Attempts   int          `json:"attempts"`
	Error      string       `json:"error"`      // of the last attempt
	Time       time.Time    `json:"time"`       // of the CloudEvent
	Attributes []event.Attr `json:"attributes"` // in order; [] where no stream has the event any more
}

// Query chooses entries; its zero value chooses all.
type Query struct {
	Sink     string         // "" = all
	States   []string       // none = all
	Terminal string         // 8 digits, "" = all
	Limit    int            // entries, 0 = all
	Place    streams.Layout // whose EVENTS it is, or EVT at a hub
}

// Validate refuses states that do not exist.
func (q Query) Validate() error {
	for _, s := range q.States {
		if !slices.Contains(streams.States, s) {
			return fmt.Errorf("unknown state %q, known are %v", s, streams.States)
		}
	}
	return nil
}

// Tally is how many events of a sink are in each state.
type Tally struct {
	Counts map[string]int // every state is there
	Oldest time.Time      // receipt of the oldest event that the sink owes: pending, failed or aside; zero = none
}

// Owed tells whether an event in this state waits for its sink.
func Owed(state string) bool {
	return state == streams.StatePending || state == streams.StateFailed || state == streams.StateAside
}

// A View is what the streams said when it was made: states, but no attributes.
// It takes about 200 bytes for each event and sink that the query chooses or that is
// not delivered yet.
type View struct {
	js    jetstream.JetStream
	query Query
	book  *book
}

// Look reads ROUTE and DONE. Streams that are not there yet are empty.
func Look(ctx context.Context, js jetstream.JetStream, q Query) (*View, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	v := &View{js: js, query: q, book: newBook(q)}
	if err := v.readRoute(ctx); err != nil {
		return nil, err
	}
	if err := v.readDone(ctx); err != nil {
		return nil, err
	}
	v.book.prune()
	return v, nil
}

// Read hands the chosen entries to emit, in the order of EVENTS, oldest first. What
// EVENTS no longer has is older and comes first. It ends with emit's error.
func Read(ctx context.Context, js jetstream.JetStream, q Query, emit func(Entry) error) error {
	v, err := Look(ctx, js, q)
	if err != nil {
		return err
	}
	return v.Each(ctx, emit)
}

// Count tallies by sink; the sinks named are in the answer whatever the streams hold.
func Count(ctx context.Context, js jetstream.JetStream, sinks ...string) (map[string]Tally, error) {
	v, err := Look(ctx, js, Query{})
	if err != nil {
		return nil, err
	}
	return v.Tally(sinks...), nil
}

// Tally counts the view's entries, those that Each has handed out not included.
func (v *View) Tally(sinks ...string) map[string]Tally {
	all := map[string]Tally{}
	for _, s := range sinks {
		all[s] = newTally()
	}
	for k, f := range v.book.facts {
		name := v.book.sinks.text(uint32(k.sink))
		t, ok := all[name]
		if !ok {
			t = newTally()
		}
		state := streams.States[f.state]
		t.Counts[state]++
		if at := v.book.received(k.id); Owed(state) && !at.IsZero() && (t.Oldest.IsZero() || at.Before(t.Oldest)) {
			t.Oldest = at
		}
		all[name] = t
	}
	return all
}

func newTally() Tally {
	t := Tally{Counts: make(map[string]int, len(streams.States))}
	for _, s := range streams.States {
		t.Counts[s] = 0
	}
	return t
}

// Unrouted is how many messages of EVENTS, or of EVT at a hub, lie behind the router's position; a
// message holds one or more events. Events that go to no sink leave no trace in
// ROUTE: at the end of EVENTS they count until the next one is routed, at a hub for some
// seconds.
func Unrouted(ctx context.Context, js jetstream.JetStream, place streams.Layout) (uint64, error) {
	events, err := open(ctx, js, place.Input())
	if err != nil || events == nil {
		return 0, err
	}
	info := events.CachedInfo()
	pos, err := position(ctx, js)
	if err != nil {
		return 0, err
	}
	pos = pos.Resume(place.Incarnations(info))
	behind := max(pos.Seq+1, info.State.FirstSeq)
	if info.State.Msgs == 0 || info.State.LastSeq < behind {
		return 0, nil
	}
	return info.State.LastSeq - behind + 1, nil
}

// position is that of ROUTE's last message, zero if there is none. The number of
// the last may be that of a message which cannot be read: it was removed since, or
// the disk has failed it.
func position(ctx context.Context, js jetstream.JetStream) (streams.Position, error) {
	route, err := open(ctx, js, streams.Route)
	if err != nil || route == nil {
		return streams.Position{}, err
	}
	_, p, err := streams.RouteEnd(ctx, route, route.CachedInfo().State)
	return p, err
}

// open looks a stream up; nil if it is not there.
func open(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	s, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	return s, nil
}
