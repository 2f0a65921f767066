// Package keeper is the only one that removes (SPEC 4, retention).
//
// It removes what nobody needs any more, and only on the strength of what is
// surely on the disk:
//
//   - from the sinks' queues, events whose outcome is in DONE;
//   - from ROUTE, what a release has let go, once the release is older than two
//     sync intervals; never ROUTE's last message, which is the router's position;
//   - from EVENTS, the oldest by keep_age and keep_bytes, up to where the router was
//     two sync intervals ago: what a sink owes or a rule holds is whole in ROUTE;
//     and what the edge has not forwarded to its hub yet only beyond 80 % of the limit;
//   - at a hub, from ROUTE, positions that a later one has replaced;
//   - from DONE, outcomes of events that EVENTS no longer has.
//
// How far it removes from ROUTE it puts on record first (streams.RouteMark): what is
// missing behind is lost, and the router mends it (docs/adr/0019).
//
// A purge by subject holds up publishes to its stream for a moment and frees no
// disk, one from the front does: so subjects go once a minute or per 10,000
// outcomes, and the front afterwards.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/hold"
	"vestnik/streams"
)

// Options of a Keeper; zero values have usable defaults.
type Options struct {
	Place        streams.Layout // at a hub EVT is what EVENTS is at an edge
	Sinks        []string
	KeepAge      time.Duration // of EVENTS, default 30 days
	KeepBytes    int64         // of EVENTS, default 80 % of its limit
	DiscardLow   bool          // SPEC 4, when_full: discard_low
	PurgeOnStart bool          // SPEC 4, purge_delivered_on_start
	SyncInterval time.Duration // how long ROUTE may stay unsynced, default 2 s
	Every        time.Duration // between rounds, default 1 min
	Outcomes     int           // a round earlier after so many, default 10,000
	Owed         bool          // look twice a second for what each sink owes; the router must tell: Queued, Doubt
	Look         time.Duration // how often to look whether a stream is nearly full or all is quiet, default 1 s
	Now          clock.Func    // default clock.Now
	Log          zerolog.Logger
}

func (o *Options) defaults() {
	if o.KeepAge == 0 {
		o.KeepAge = 30 * 24 * time.Hour
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = 2 * time.Second
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Outcomes == 0 {
		o.Outcomes = 10_000
	}
	if o.Look == 0 {
		o.Look = min(time.Second, o.Every)
	}
	if o.Now == nil {
		o.Now = clock.Now
	}
}

// A Holder knows which releases are complete (the router).
type Holder interface {
	Settled(before clock.Moment) []hold.Settled
}

// Keeper removes. Make it with New, then Run; there must be one.
type Keeper struct {
	js     jetstream.JetStream
	holder Holder
	opts   Options

	settled map[hold.Key]uint64 // complete releases not removed yet, the newest of each group
	broker  uint64              // reconnections when settled was begun

	mu    sync.Mutex
	stats Stats
	owed  map[string]Owed

	told told
}

// Stats are what was removed since the program started.
type Stats struct {
	Rounds    int64     `json:"rounds"`
	Queue     uint64    `json:"queue"`     // from the sinks' queues
	Held      uint64    `json:"held"`      // records of released groups
	Events    uint64    `json:"events"`    // messages of EVENTS
	Done      uint64    `json:"done"`      // messages of DONE
	Discarded uint64    `json:"discarded"` // given up because the store was full
	Last      time.Time `json:"last,omitzero"`
	Error     string    `json:"error,omitempty"` // of the last round
}

// New makes a keeper.
func New(js jetstream.JetStream, holder Holder, opts Options) *Keeper {
	opts.defaults()
	return &Keeper{js: js, holder: holder, opts: opts, settled: map[hold.Key]uint64{}, owed: map[string]Owed{}}
}

// Stats may be called at any time.
func (k *Keeper) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

func (k *Keeper) count(f func(*Stats)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.stats)
}

// Run makes rounds until ctx ends. A fault is told and tried again: nothing
// depends on the keeper but room.
func (k *Keeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := k.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		k.opts.Log.Warn().Err(err).Msg("keeping interrupted, begins again")
		k.count(func(s *Stats) { s.Error = err.Error() })
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// session is one life of the keeper between two readings of DONE.
type session struct {
	*Keeper
	events, route, done jetstream.Stream
	sinks               map[string]*ledger
	noted               []markers             // by the rounds before, oldest first
	before              markers               // those that this round relies on
	seen                uint64                // the last message of DONE read
	learnt              clock.Moment          // when that was
	end                 uint64                // of EVENTS when the session began
	looked              bool                  // for outcomes of events that ROUTE does not have
	heads               map[string]*laneHeads // by sink
	current             bool                  // what DONE held when the session began is known
}

// markers are noted in one round and used in a later one: by then they are synced.
type markers struct {
	at       clock.Moment
	position uint64 // of the router, in EVENTS
	last     uint64 // of ROUTE
	marks    map[string]uint64
}

func (k *Keeper) session(ctx context.Context) error {
	// A server that comes back may use numbers again: what is known of DONE ends with the connection.
	ctx, stop := streams.Connected(ctx, k.js.Conn())
	defer stop()
	if n := k.js.Conn().Stats().Reconnects; n != k.broker { // a release may be lost with ROUTE's end; the router tells them anew
		clear(k.settled)
		k.broker = n
	}
	s := &session{Keeper: k, sinks: map[string]*ledger{}, heads: map[string]*laneHeads{}}
	for _, open := range []struct {
		name string
		to   *jetstream.Stream
	}{{s.opts.Place.Input(), &s.events}, {streams.Route, &s.route}, {streams.Done, &s.done}} {
		var err error
		if *open.to, err = streams.Await(ctx, k.js, open.name); err != nil {
			return err
		}
	}
	if err := streams.AwaitWhole(ctx, s.js); err != nil {
		return err
	}
	s.end = s.events.CachedInfo().State.LastSeq
	names, err := s.names(ctx)
	if err != nil {
		return err
	}
	from := uint64(1 << 63)
	for _, name := range names {
		mark, err := s.readMark(ctx, name)
		if err != nil {
			return err
		}
		s.sinks[name] = newLedger(mark)
		from = min(from, mark+1)
	}
	return s.loop(ctx, from)
}

// names are the sinks of the configuration, and those that DONE knows: their
// events set aside live there alone.
func (s *session) names(ctx context.Context) ([]string, error) {
	info, err := s.done.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, fmt.Errorf("look up DONE: %w", err)
	}
	names := slices.Clone(s.opts.Sinks)
	for subject := range info.State.Subjects {
		if name := sinkOf(subject); subject != streams.RouteMark && name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func (s *session) readMark(ctx context.Context, sink string) (uint64, error) {
	m, err := s.done.GetLastMsgForSubject(ctx, streams.DoneMark(sink))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the mark in DONE: %w", err)
	}
	return streams.ParseMark(m.Data), nil
}

func (s *session) loop(ctx context.Context, from uint64) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	msgs, failed := make(chan jetstream.Msg, 64), make(chan error, 1)
	var caught atomic.Bool // what DONE held at the beginning has come
	done := streams.From{Subjects: []string{"done.>"}, Seq: from, Caught: func() { caught.Store(true) }}
	go func() {
		failed <- streams.Follow(ctx, s.js, streams.Done, done, func(m jetstream.Msg) error {
			select {
			case msgs <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	defer func() { stop(); <-failed }()
	timer := time.NewTimer(s.opts.SyncInterval)
	defer timer.Stop()
	looks, stopLooks := s.looks()
	defer stopLooks()
	purge := s.opts.PurgeOnStart
	for fresh := 0; ; { // outcomes since the last round
		select {
		case m := <-msgs:
			fresh += s.learn(m)
			if fresh < s.opts.Outcomes {
				continue
			}
		case <-timer.C:
			timer.Reset(s.opts.Look)
			if due, err := s.due(ctx); err != nil {
				return err
			} else if !due {
				continue
			}
		case <-looks:
			s.current = s.current || caught.Load() && len(msgs) == 0
			if s.current {
				if err := s.look(ctx); err != nil {
					return err
				}
			}
			continue
		case err := <-failed:
			failed <- err
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !s.rely(s.opts.Now()) {
			timer.Reset(s.opts.SyncInterval / 2) // soon enough: what was noted must be synced first
			continue
		}
		ready := !s.before.at.IsZero() // the first round only notes what a later one may rely on
		if err := s.round(ctx, purge && ready); err != nil {
			return err
		}
		purge = purge && !ready
		fresh = 0
		timer.Reset(s.opts.Look)
	}
}

// rely finds what a round at this time may rely on, the newest that is old enough;
// false: too soon for a round. Rounds may follow each other faster than the disk
// syncs, each relies on one some time before.
func (s *session) rely(now clock.Moment) bool {
	if n := len(s.noted); n > 0 && now.Run-s.noted[n-1].at.Run < s.opts.SyncInterval/2 {
		return false
	}
	old := 0
	for old < len(s.noted) && now.Run-s.noted[old].at.Run >= 2*s.opts.SyncInterval {
		old++
	}
	if old > 0 {
		s.before, s.noted = s.noted[old-1], s.noted[old:]
	}
	return true
}

// due tells whether it is time for a round: by the clock, because a stream is
// nearly full and somebody may be waiting for room, or because it is quiet after some
// outcomes and a round takes no time.
func (s *session) due(ctx context.Context) (bool, error) {
	now := s.opts.Now()
	if len(s.noted) == 0 || now.Run-s.noted[len(s.noted)-1].at.Run >= s.opts.Every {
		return true, nil
	}
	quiet := now.Run-s.learnt.Run >= s.opts.Look && s.before.at.Run <= s.learnt.Run // no round could rely on what came last
	for _, look := range []struct {
		stream  jetstream.Stream
		percent int64
	}{{s.events, eventsOften}, {s.route, streams.RouteOften}, {s.done, doneOften}} {
		info, err := look.stream.Info(ctx)
		if err != nil {
			return false, fmt.Errorf("look for room: %w", err)
		}
		if max := info.Config.MaxBytes; max > 0 && int64(info.State.Bytes) > max/100*look.percent {
			return true, nil
		}
		if quiet && look.stream == s.route && info.State.Msgs < quickRound {
			return true, nil
		}
	}
	return false, nil
}

// quickRound: a round holds up writing to a ROUTE of so many messages by a few
// hundredths of a second.
const quickRound = 100_000

// How full EVENTS and DONE may get, in per cent, before rounds follow each other as
// fast as they may. EVENTS rests at 80 % when keep_bytes is not set.
const (
	eventsOften = 82
	doneOften   = 60
)

func (s *session) learn(m jetstream.Msg) int {
	list, err := streams.ParseOutcomes(m.Data())
	if err != nil {
		return 0 // the sink tells it
	}
	sink := sinkOf(m.Subject())
	l := s.sinks[sink]
	if l == nil {
		l = newLedger(0)
		s.sinks[sink] = l
	}
	seq := streams.Seq(m)
	s.seen, s.learnt = seq, s.opts.Now()
	for _, o := range list {
		l.note(o, seq)
	}
	return len(list)
}
