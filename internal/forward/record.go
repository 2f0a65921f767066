package forward

import (
	"context"
	"fmt"
	"time"

	"vestnik/streams"
)

// recordEvery is how often the record is written while events go.
const recordEvery = time.Second

// recorded is the record; at the first start it is made: from then on the keeper leaves
// what is not forwarded.
func (f *Forwarder) recorded(ctx context.Context) (streams.Forwarded, bool, error) {
	f.mu.Lock()
	r, known := f.record, f.known
	f.mu.Unlock()
	if known {
		return r, true, nil
	}
	r, ok, err := Begin(ctx, f.opts)
	if err != nil {
		return r, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.known = r, true
	return r, ok, nil
}

// Begin reads the record, or makes it: the edge has a hub from now on. before = there was
// one.
func Begin(ctx context.Context, o Options) (r streams.Forwarded, before bool, err error) {
	if r, before, err = streams.ReadForwarded(ctx, o.JS); err != nil || before {
		return r, before, err
	}
	events, err := o.JS.Stream(ctx, streams.Events)
	if err != nil {
		return r, false, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := events.CachedInfo()
	first := max(info.State.FirstSeq, 1)
	r.Position = streams.Position{Incarnation: streams.LifeAt(streams.Lives(info.Config.Metadata), first, 0), Seq: first, Index: -1}.String()
	return r, false, streams.PutForwarded(ctx, o.JS, r)
}

// keep writes the record when it has changed, and at the end.
func (f *Forwarder) keep(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			f.write(last)
			return
		}
	}
}

func (f *Forwarder) write(ctx context.Context) {
	f.mu.Lock()
	r, dirty := f.record, f.dirty
	f.dirty = false
	f.mu.Unlock()
	if !dirty {
		return
	}
	if err := streams.PutForwarded(ctx, f.opts.JS, r); err != nil {
		f.opts.Log.Warn().Err(err).Msg("how far events are forwarded is not on record, tried again")
		f.mu.Lock()
		f.dirty = true
		f.mu.Unlock()
	}
}
