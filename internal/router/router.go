// Package router is the way of an event from EVENTS to the sinks' queues: it
// reads, matches the rules, holds what they hold, and writes ROUTE (SPEC 3). At a hub it
// reads EVT instead, and of it what is routed there (SPEC 10, streams.Layout): what is said
// of EVENTS below, holds of EVT.
//
// # Outputs and position cannot part
//
// Every message in ROUTE carries the position of the input that it came from, so
// ROUTE's last message is the position (DESIGN 4). A router that starts
//
//  1. reads that position, and the rules that were in force;
//  2. rebuilds what is held from rt.held, rt.release and rt.rebase;
//  3. finishes a release that was cut off: its record says how many events it lets
//     go, ROUTE's last message how many are out;
//  4. reads the input at the position again and goes on behind the output that
//     ROUTE has.
//
// One router writes at a time: each message is conditional on the one before.
// ROUTE is written to disk a little later than it is acknowledged. What a power
// cut takes off its end is made again from EVENTS, with the same ids; DONE keeps it
// from being delivered again.
//
// # Held events
//
// An event that a rule holds is a message rt.held.<group>, whole. When the group
// reaches its count or its deadline, one message rt.release.<group> says so, and the
// events follow into the sink's queue, in order, with nothing between. The event
// that completes a count is held first, like the others: so a release needs no
// other input than the group.
package router

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// Options of a Router.
type Options struct {
	// API is the prefix of JetStream's requests, "" = $JS.API.
	API string
	// Place says where the router stands: what it reads, and what of it is its own.
	Place streams.Layout
	// Signatures says which sinks the events of a signature go to (SPEC 1).
	Signatures map[string][]string
	// Load reads the rules file anew.
	Load func() (*rules.Set, error)
	// Events, if the journal is in the same process, saves reading EVENTS back;
	// Queues, for sinks in the same process, save them reading ROUTE.
	Events *streams.Feed[[]*event.Event]
	Queues map[Queue]*streams.Feed[event.Queued]
	// Queued, if set, is told of each message put into a sink's queue, in order;
	// Doubt, that ROUTE may not have taken all that Queued was told of.
	Queued func(sink, lane string, seq uint64, id string)
	Doubt  func()
	// Saw, if set, is told of each message of the input, in order: the edge that it came
	// from, and whether it is routed here. It must not block. At a hub only.
	Saw func(edge string, mine bool)
	// Prepare, if set, is called at the start of each session: it makes ROUTE and DONE
	// where they are not there (any more).
	Prepare func(ctx context.Context) error
	// Conf is the configuration's file, for errors that name it.
	Conf string
	Now  clock.Func // default clock.Now
	Log  zerolog.Logger
}

func (o *Options) conf() string {
	if o.Conf == "" {
		return "the router's configuration"
	}
	return o.Conf
}

// Queue names one lane of a sink's queue.
type Queue struct{ Sink, Lane string }

// Router routes. Make it with New, then Run.
type Router struct {
	nc     *nats.Conn
	opts   Options
	reload chan reload
	set    atomic.Pointer[rules.Set]
	stats  counters
	watch  clock.Watch // the running session's; what it saw, the next one needs

	mu      sync.Mutex
	settled []hold.Settled
}

type reload struct {
	set  *rules.Set
	done chan error
}

// New makes a router; set is the rules to begin with.
func New(nc *nats.Conn, set *rules.Set, opts Options) *Router {
	if opts.Now == nil {
		opts.Now = clock.Now
	}
	r := &Router{nc: nc, opts: opts, reload: make(chan reload)}
	r.set.Store(set)
	r.stats.rulesAt.Store(time.Now().UnixMilli())
	return r
}

// Run routes until ctx ends. After a fault (the broker gone, ROUTE full) it
// begins again from ROUTE, sooner or later by a growing pause.
func (r *Router) Run(ctx context.Context) error {
	var again streams.Again
	for ctx.Err() == nil {
		began := r.opts.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			break
		}
		text := "routing interrupted: " + err.Error()
		r.stats.stopped.Store(&text)
		pause := again.After(err, r.opts.Now().Run-began.Run)
		r.opts.Log.Error().Err(err).Dur("pause", pause).Msg("routing interrupted, begins again from ROUTE")
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// Reload reads the rules file and puts it in force. An error leaves the old
// rules in force (SPEC 3). It returns when ROUTE has the change.
func (r *Router) Reload(ctx context.Context) error {
	set, err := r.opts.Load()
	if err != nil {
		r.stats.refused.Add(1)
		r.stats.broken.Store(true)
		return err
	}
	r.stats.broken.Store(false)
	q := reload{set, make(chan error, 1)}
	select {
	case r.reload <- q:
	case <-ctx.Done():
		return fmt.Errorf("reload rules: the router is busy: %w", ctx.Err())
	}
	select {
	case err := <-q.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("reload rules: %w", ctx.Err())
	}
}

// Rules is the set in force.
func (r *Router) Rules() *rules.Set { return r.set.Load() }

// Settled returns the releases that were complete before t, and forgets them.
func (r *Router) Settled(t clock.Moment) []hold.Settled {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.settled) && r.settled[n].At.Run < t.Run {
		n++
	}
	list := r.settled[:n:n]
	r.settled = r.settled[n:]
	return list
}

func (r *Router) settle(g hold.Key, release uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = append(r.settled, hold.Settled{Group: g, Release: release, At: r.opts.Now()})
}

// forget drops what the last session thought complete: rebuild finds what ROUTE has.
func (r *Router) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled = nil
}

// begun is what turns count from: by the monotonic clock, whatever is done to the other.
var begun = time.Now()

type counters struct {
	routed, held, suppressed, released atomic.Int64
	renewed                            atomic.Int64
	holding                            atomic.Int64
	position                           atomic.Pointer[streams.Position]
	stopped                            atomic.Pointer[string]
	byCount, byTimeout, groups         atomic.Int64 // releases; groups now
	broken                             atomic.Bool  // the rules file was refused, the old ones are in force
	refused, rulesAt                   atomic.Int64 // reloads refused; Unix milliseconds
	beat                               atomic.Int64 // the loop's last turn, since begun; 0 = it does not run
}

// Stats are counts since the program started, and the state now.
type Stats struct {
	Routed     int64  `json:"routed"`            // put into a sink's queue, released ones included
	Held       int64  `json:"held"`              // taken into a group
	Released   int64  `json:"released"`          // let go by a group
	Suppressed int64  `json:"suppressed"`        // never
	Renewed    int64  `json:"renewed,omitempty"` // made again from EVENTS after damage
	Holding    int64  `json:"holding"`           // in groups now
	Position   string `json:"position"`          // <incarnation>.<sequence>.<index>.<ordinal>
	Rules      string `json:"rules"`             // digest of the rules in force
	Stopped    string `json:"stopped,omitempty"`

	Groups       int64     `json:"groups"`                 // that hold something now
	ByCount      int64     `json:"by_count"`               // releases because a count was reached
	ByTimeout    int64     `json:"by_timeout"`             // releases because a deadline came
	RulesRefused int64     `json:"rules_refused"`          // reloads refused for what the file says
	RulesBroken  bool      `json:"rules_broken,omitempty"` // the rules file was refused: older rules are in force
	RulesAt      time.Time `json:"rules_at"`               // when the rules came in force in this process
	Turn         time.Time `json:"turn,omitzero"`          // the loop's last turn, at least one a second; zero = it does not run
}

// Stats may be called at any time.
func (r *Router) Stats() Stats {
	c := &r.stats
	s := Stats{Routed: c.routed.Load(), Held: c.held.Load(), Released: c.released.Load(), Suppressed: c.suppressed.Load(),
		Renewed: c.renewed.Load(), Holding: c.holding.Load(), Rules: r.set.Load().Digest()}
	s.Groups, s.ByCount, s.ByTimeout = c.groups.Load(), c.byCount.Load(), c.byTimeout.Load()
	s.RulesBroken = c.broken.Load()
	s.RulesRefused, s.RulesAt = c.refused.Load(), time.UnixMilli(c.rulesAt.Load()).UTC()
	if n := c.beat.Load(); n != 0 {
		s.Turn = begun.Add(time.Duration(n))
	}
	if p := c.position.Load(); p != nil {
		s.Position = p.String()
	}
	if t := c.stopped.Load(); t != nil {
		s.Stopped = *t
	}
	return s
}
