package sink

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/streams"
)

// Options of a Runner; zero values have usable defaults.
type Options struct {
	Name        string
	API         string        // prefix of JetStream's requests, "" = $JS.API
	MaxInFlight int           // requests at once, default 32; of one terminal there is one
	RateLimit   float64       // events per second, 0 = none
	Retry       Backoff       // of the sink, default 1 s to 5 min
	Aside       Backoff       // of a rejected event, default 1 min to 5 min
	Batch       bool          // events released together go as one, if the Sink is a Batcher
	Ahead       int           // events of a lane in memory, default 512
	StopTimeout time.Duration // for what is in flight at the end, default 3 s
	// Queues, by lane, if the router is in the same process, save reading ROUTE back.
	Queues map[string]*streams.Feed[event.Queued]
	// Attributes reads an event's attributes from its XML.
	Attributes func(raw []byte) ([]event.Attr, error)
	// Observe, if set, is told how long each request took and how it ended; it is
	// called from many goroutines at once.
	Observe func(took time.Duration, err error)
	Now     clock.Func // default clock.Now
	Log     zerolog.Logger
}

func (o *Options) defaults() {
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 32
	}
	if o.Ahead == 0 {
		o.Ahead = 512
	}
	if o.Now == nil {
		o.Now = clock.Now
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 3 * time.Second
	}
	if o.Aside == (Backoff{}) {
		o.Aside = AsideSchedule
	}
}

// rejectionLimit: so many rejections in a row without a success are an outage
// too (SPEC 4).
const rejectionLimit = 10

// Runner delivers one sink's queue.
//
// Per terminal and lane events go in order, one request at a time per terminal,
// many terminals at once; higher lanes first. An event leaves the queue when its
// outcome is in DONE; a crash between the other side's confirmation and that record
// may deliver it again, nothing else does.
type Runner struct {
	nc     *nats.Conn
	sink   Sink
	opts   Options
	rec    *recorder
	paused atomic.Bool
	wake   chan struct{}
	stats  atomic.Pointer[Stats]
	counts counts

	// Of the running session's loop; the next one goes on with them.
	breaker breaker
	watch   clock.Watch
}

type counts struct {
	requests, delivered, rejected, failed, expired atomic.Int64
	turn                                           atomic.Int64 // the loop's last turn, since begun; 0 = it does not run
}

// begun is what turns count from: by the monotonic clock.
var begun = time.Now()

// NewRunner makes a runner. s may be nil: the sink has no address, and events
// gather in its queue (SPEC 4).
func NewRunner(nc *nats.Conn, s Sink, opts Options) *Runner {
	opts.defaults()
	r := &Runner{nc: nc, sink: s, opts: opts, wake: make(chan struct{}, 1)}
	r.rec = newRecorder(opts.Name, opts.Log)
	r.breaker = breaker{backoff: opts.Retry, limit: rejectionLimit}
	return r
}

// Run delivers until ctx ends; then it waits for what is in flight and records
// it. After a fault of the broker it begins again from DONE.
func (r *Runner) Run(ctx context.Context) error {
	var again streams.Again
	for ctx.Err() == nil {
		began := r.opts.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			break
		}
		pause := again.After(err, r.opts.Now().Run-began.Run)
		r.opts.Log.Error().Err(err).Dur("pause", pause).Msg("delivery interrupted, begins again from DONE")
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// SetPaused stops and resumes deliveries; what is in flight ends.
func (r *Runner) SetPaused(p bool) {
	if r.paused.Swap(p) != p {
		r.nudge()
	}
}

func (r *Runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func dice() float64 { return rand.Float64() }

// Stats is the runner's view of its sink: counts since the program started, and
// the state now.
type Stats struct {
	Sink      string     `json:"sink"`
	Requests  int64      `json:"requests"`
	Delivered int64      `json:"delivered"`
	Rejected  int64      `json:"rejected"` // requests that the sink refused
	Failed    int64      `json:"failed"`   // requests that failed for the sink's own reasons
	Expired   int64      `json:"expired"`
	Waiting   int        `json:"waiting"`   // events of the queue in memory now, in flight included; ROUTE may have more
	Aside     int        `json:"aside"`     // events set aside now
	InFlight  int        `json:"in_flight"` // requests now
	Paused    bool       `json:"paused,omitempty"`
	NoAddress bool       `json:"no_address,omitempty"` // RemoteMonitoringUrl is not set
	Outage    *Outage    `json:"outage,omitempty"`
	Oldest    *time.Time `json:"oldest_undelivered,omitempty"` // its receipt

	Lanes  map[string]int `json:"lanes,omitempty"`         // Waiting by lane
	Queued *time.Time     `json:"oldest_queued,omitempty"` // as Oldest, but for those set aside
	Known  bool           `json:"known"`                   // false = the queue has not been read so far: Oldest says nothing yet
	Record string         `json:"record,omitempty"`        // why outcomes cannot be recorded in DONE: delivery waits
	Turn   time.Time      `json:"turn,omitzero"`           // of the loop, at least one a second; zero = it does not run
}

// Outage says since when a sink is out, why, and when it is tried next.
type Outage struct {
	Since    time.Time `json:"since"`
	Failures int       `json:"failures"` // in a row: the first and every probe
	Error    string    `json:"error"`
	Next     time.Time `json:"next_probe"`
}

// Stats may be called at any time.
func (r *Runner) Stats() Stats {
	s := Stats{Sink: r.opts.Name}
	if p := r.stats.Load(); p != nil {
		s = *p
	}
	if text := r.rec.failing.Load(); text != nil {
		s.Record = *text
	}
	s.Requests = r.counts.requests.Load()
	if n := r.counts.turn.Load(); n != 0 {
		s.Turn = begun.Add(time.Duration(n))
	}
	s.Delivered, s.Rejected = r.counts.delivered.Load(), r.counts.rejected.Load()
	s.Failed, s.Expired = r.counts.failed.Load(), r.counts.expired.Load()
	s.Paused, s.NoAddress = r.paused.Load(), r.sink == nil
	return s
}
