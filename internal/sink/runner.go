package sink

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

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
	Now        func() time.Time
	Log        zerolog.Logger
}

func (o *Options) defaults() {
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 32
	}
	if o.Ahead == 0 {
		o.Ahead = 512
	}
	if o.Now == nil {
		o.Now = time.Now
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
}

type counts struct{ delivered, rejected, failed, expired atomic.Int64 }

// NewRunner makes a runner. s may be nil: the sink has no address, and events
// gather in its queue (SPEC 4).
func NewRunner(nc *nats.Conn, s Sink, opts Options) *Runner {
	opts.defaults()
	r := &Runner{nc: nc, sink: s, opts: opts, wake: make(chan struct{}, 1)}
	r.rec = newRecorder(opts.Name, opts.Log)
	return r
}

// Run delivers until ctx ends; then it waits for what is in flight and records
// it. After a fault of the broker it begins again from DONE.
func (r *Runner) Run(ctx context.Context) error {
	for pause := minPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > time.Minute {
			pause = minPause
		}
		r.opts.Log.Error().Err(err).Dur("pause", pause).Msg("delivery interrupted, begins again from DONE")
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

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
	s.Delivered, s.Rejected = r.counts.delivered.Load(), r.counts.rejected.Load()
	s.Failed, s.Expired = r.counts.failed.Load(), r.counts.expired.Load()
	s.Paused, s.NoAddress = r.paused.Load(), r.sink == nil
	return s
}
