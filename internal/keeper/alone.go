package keeper

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/streams"
)

// AloneOptions of an Alone; zero values have usable defaults but for Forwarded.
type AloneOptions struct {
	KeepAge   time.Duration // default 30 days
	KeepBytes int64         // default 80 % of EVENTS' limit
	Every     time.Duration // between rounds, default 1 min; while EVENTS is nearly full, 1 s
	// Forwarded is the last message of EVENTS that the hub has, whole; 0 = none.
	Forwarded func(ctx context.Context) (uint64, error)
	Now       clock.Func // default clock.Now
	Log       zerolog.Logger
}

// Alone keeps EVENTS where no router does: at an edge whose terminal is routed at the
// hub. Events go by age and size, as SPEC 4 has it, and none that the hub has not got: an
// EVENTS full of those refuses (code 6).
type Alone struct {
	js   jetstream.JetStream
	opts AloneOptions
	last clock.Moment // the round before

	mu    sync.Mutex
	stats Stats
}

// NewAlone makes one; there must be one, and no Keeper.
func NewAlone(js jetstream.JetStream, o AloneOptions) *Alone {
	if o.KeepAge == 0 {
		o.KeepAge = 30 * 24 * time.Hour
	}
	if o.Every == 0 {
		o.Every = time.Minute
	}
	if o.Now == nil {
		o.Now = clock.Now
	}
	return &Alone{js: js, opts: o}
}

// Stats may be called at any time.
func (a *Alone) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// Run makes rounds until ctx ends. A fault is told and tried again.
func (a *Alone) Run(ctx context.Context) error {
	tick := time.NewTicker(min(a.opts.Every, time.Second))
	defer tick.Stop()
	for {
		if a.due(ctx) {
			n, err := a.round(ctx)
			if ctx.Err() != nil {
				return nil
			}
			a.note(n, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// due tells whether it is time for a round: by the clock, or because EVENTS is nearly full.
func (a *Alone) due(ctx context.Context) bool {
	if a.last.IsZero() || a.opts.Now().Run-a.last.Run >= a.opts.Every {
		return true
	}
	s, err := a.js.Stream(ctx, streams.Events)
	if err != nil {
		return false // the next look tells
	}
	max := s.CachedInfo().Config.MaxBytes
	return max > 0 && int64(s.CachedInfo().State.Bytes) > max/100*eventsOften
}

func (a *Alone) note(n uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats.Events += n
	if err != nil {
		a.opts.Log.Warn().Err(err).Msg("old events are not removed, tried again")
		a.stats.Error = err.Error()
		return
	}
	a.stats.Rounds, a.stats.Last, a.stats.Error = a.stats.Rounds+1, time.Now(), ""
}

// round removes what may go now.
func (a *Alone) round(ctx context.Context) (uint64, error) {
	events, err := streams.Await(ctx, a.js, streams.Events)
	if err != nil {
		return 0, err
	}
	now := a.opts.Now()
	var ran time.Duration
	if !a.last.IsZero() {
		ran = now.Run - a.last.Run
	}
	upto, err := front{a.js, events, a.opts.KeepAge, a.opts.KeepBytes}.limit(ctx, now.Wall, ran)
	if err != nil {
		return 0, err
	}
	a.last = now
	forwarded, err := a.opts.Forwarded(ctx)
	if err != nil {
		return 0, err
	}
	return purge(ctx, events, "", min(upto, forwarded+1))
}
