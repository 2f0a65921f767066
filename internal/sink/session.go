package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/streams"
)

// session is one life of the runner between two readings of DONE. Its fields
// belong to loop's goroutine.
type session struct {
	*Runner
	js       jetstream.JetStream
	done     jetstream.Stream
	lanes    [3]lane
	incoming [3]chan *item
	caught   [3]atomic.Bool  // all that the lane held when the session began has come
	busy     map[string]bool // terminals with a request in flight
	flying   int             // requests in flight
	results  chan result
	recorded chan recordedMsg
	discards chan []streams.Outcome
	requests context.Context // of what is in flight
	asides   asides
	known    map[string]known // from DONE, of events still to be met in ROUTE
	share    Share
	turn     int // requests since the last one for an event set aside
	probes   int // while there is no room for more events set aside
	limiter  *rate.Limiter
	said     time.Time // when Stats were told last
	stale    bool      // they are older than the state
}

// known is what DONE says of an event.
type known struct {
	final    bool
	aside    bool
	attempts int
}

type result struct {
	items []*item
	err   error
	probe bool
	now   clock.Moment
}

type recordedMsg struct {
	list []streams.Outcome
	seq  uint64
}

// unrecorded bounds the deliveries whose outcome is not in DONE: what a crash
// may repeat.
const unrecorded = 256

func (r *Runner) session(ctx context.Context) error {
	s := &session{Runner: r, busy: map[string]bool{}, known: map[string]known{},
		results: make(chan result, r.opts.MaxInFlight), recorded: make(chan recordedMsg, 16),
		discards: make(chan []streams.Outcome, 16)}
	if r.opts.RateLimit > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(r.opts.RateLimit), max(1, int(r.opts.RateLimit/10)))
	}
	var err error
	if s.js, err = streams.JetStream(r.nc, r.opts.API); err != nil {
		return err
	}
	ctx, stop := streams.Connected(ctx, r.nc)
	defer stop()
	return streams.Cause(ctx, r.nc, s.work(ctx))
}

func (s *session) work(ctx context.Context) (err error) {
	if _, err := streams.Await(ctx, s.js, streams.Route); err != nil {
		return err
	}
	if s.done, err = streams.Await(ctx, s.js, streams.Done); err != nil {
		return err
	}
	if err := streams.AwaitWhole(ctx, s.js); err != nil {
		return err
	}
	s.asides.max = int(s.done.CachedInfo().Config.MaxBytes / asideShare)
	if err := s.recall(ctx); err != nil {
		return err
	}
	return s.run(ctx)
}

// givenUp hands on what the keeper gives up because the store is full. It reads what
// DONE has taken, and does not listen to the subject: what DONE refuses is not given up.
func (s *session) givenUp(ctx context.Context) error {
	from := streams.From{Subjects: []string{streams.DoneDiscarded(s.opts.Name)}, Seq: s.done.CachedInfo().State.LastSeq + 1, Ahead: 16}
	return streams.Follow(ctx, s.js, streams.Done, from, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		if err != nil {
			return nil //nolint:nilerr // recall tells it
		}
		select {
		case s.discards <- list:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// recall writes what a lost connection left unrecorded and reads DONE: what is
// final is skipped, what was set aside stays so.
func (s *session) recall(ctx context.Context) error {
	if err := s.rec.flush(ctx, s.js, nil); err != nil {
		return err
	}
	from, err := s.mark(ctx)
	if err != nil {
		return err
	}
	subjects := []string{streams.DoneSink(s.opts.Name)}
	err = streams.Scan(ctx, s.js, streams.Done, streams.From{Subjects: subjects, Seq: from + 1}, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		if err != nil {
			s.opts.Log.Error().Err(err).Uint64("seq", streams.Seq(m)).Msg("DONE holds what is no outcome")
			return nil
		}
		for _, o := range list {
			s.learn(o, streams.Seq(m))
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.opts.Log.Info().Int("known", len(s.known)).Int("aside", len(s.asides.byID)).Msg("outcomes read")
	return nil
}

func (s *session) learn(o streams.Outcome, seq uint64) {
	s.known[o.ID] = known{final: streams.Final(o.State), aside: o.State == streams.StateAside, attempts: o.Attempts}
	if o.State == streams.StateAside {
		s.asides.put(o, seq, s.tryAt(o))
	} else {
		s.asides.drop(o.ID)
	}
}

// tryAt is when an event set aside is tried again. However the clock was set since,
// that is no later than the longest pause from now.
func (s *session) tryAt(o streams.Outcome) time.Duration {
	now := s.look()
	left := o.Next.Sub(o.Time) - s.watch.Age(o.Time, now)
	return now.Run + min(max(left, 0), s.opts.Aside.orDefault().Max)
}

// mark is up to where DONE need not be read: ROUTE is rid of those events.
func (s *session) mark(ctx context.Context) (uint64, error) {
	m, err := s.done.GetLastMsgForSubject(ctx, streams.DoneMark(s.opts.Name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the mark in DONE: %w", err)
	}
	return streams.ParseMark(m.Data), nil
}

// run starts the readers of the lanes and the recorder, and ends with them.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, hard := context.WithCancel(context.WithoutCancel(ctx))
	defer hard()
	s.requests = requests
	failed := make(chan error, 5) // three lanes, what is given up, the recorder
	var wg sync.WaitGroup
	for i, name := range streams.Lanes {
		s.incoming[i] = make(chan *item, 16)
		wg.Go(func() { failed <- s.readLane(ctx, name, s.incoming[i], &s.caught[i]) })
	}
	wg.Go(func() { failed <- s.givenUp(ctx) })
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { failed <- s.rec.run(recording, s.js, s.onRecorded(recording)) })
	err := s.loop(ctx, failed)
	s.land(hard)
	stopRecording()
	cancel()
	wg.Wait()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), s.opts.StopTimeout)
	defer stop()
	return errors.Join(err, s.rec.flush(last, s.js, nil))
}

func (s *session) onRecorded(ctx context.Context) func([]streams.Outcome, uint64) {
	return func(list []streams.Outcome, seq uint64) {
		select {
		case s.recorded <- recordedMsg{list, seq}:
		case <-ctx.Done():
		}
	}
}

// readLane hands the events of a lane to the loop, in the queue's order.
func (s *session) readLane(ctx context.Context, name string, to chan<- *item, caught *atomic.Bool) error {
	from := streams.From{Subjects: []string{streams.OutLane(s.opts.Name, name)}, Ahead: max(s.opts.Ahead/4, 1),
		Caught: func() { caught.Store(true); s.nudge() }}
	hand := func(seq uint64, q event.Queued) error {
		it, err := s.newItem(seq, q)
		if err != nil {
			s.opts.Log.Error().Err(err).Uint64("seq", seq).Msg("the queue holds what is no event")
			return nil
		}
		select {
		case to <- it:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	message := func(m jetstream.Msg) error { return hand(streams.Seq(m), queued(m)) }
	if f := s.opts.Queues[name]; f != nil {
		return f.Follow(ctx, s.js, streams.Route, from, message, hand)
	}
	return streams.Follow(ctx, s.js, streams.Route, from, message)
}

// queued reads a message of the queue; without an id it is none of ours.
func queued(m jetstream.Msg) event.Queued {
	h := m.Headers()
	e, err := event.FromHeader(event.Header(h), m.Data())
	if err != nil {
		return event.Queued{}
	}
	q := event.Queued{Event: *e, Release: h.Get(streams.HeaderRelease)}
	q.TTL, _ = strconv.Atoi(h.Get(streams.HeaderTTL)) // absent = 0
	return q
}

func (s *session) newItem(seq uint64, q event.Queued) (*item, error) {
	e := q.Event
	if e.ID == "" {
		return nil, errors.New("no CloudEvent")
	}
	if e.Attrs == nil {
		var err error
		if e.Attrs, err = s.opts.Attributes(e.Raw); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	release, _, _ := strings.Cut(q.Release, ".")
	return &item{e: &e, seq: seq, ttl: q.TTL, release: release}, nil
}
