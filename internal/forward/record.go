package forward

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// recordEvery is how often the record is written while events go.
const recordEvery = time.Second

// recorded is the record; at the first start it is made: from then on the keeper leaves
// what is not forwarded.
func (f *Forwarder) recorded(ctx context.Context) (streams.Forwarded, error) {
	f.mu.Lock()
	r, known := f.record, f.known
	f.mu.Unlock()
	if known {
		return r, nil
	}
	if err := f.Begin(ctx); err != nil {
		return r, err
	}
	return f.record, nil
}

// Begin reads the record, or makes it: the edge has a hub from now on. Call it before Run.
func (f *Forwarder) Begin(ctx context.Context) error {
	r, known, err := streams.ReadForwarded(ctx, f.opts.JS)
	if err == nil && !known {
		r, err = first(ctx, f.opts.JS, f.opts.ATM)
	}
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.known = r, true
	f.stats.stand(r.At())
	f.stats.Hub = r.Hub
	return nil
}

// first makes a record of nothing.
func first(ctx context.Context, js jetstream.JetStream, atm string) (r streams.Forwarded, err error) {
	r.ATM = streams.Terminal(atm)
	events, err := js.Stream(ctx, streams.Events)
	if err != nil {
		return r, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := events.CachedInfo()
	seq := max(info.State.FirstSeq, 1)
	r.Position = streams.Position{Incarnation: streams.LifeAt(streams.Lives(info.Config.Metadata), seq, 0), Seq: seq, Index: -1}.String()
	return r, streams.PutForwarded(ctx, js, r)
}

// keep writes the record when it has changed, and at the end.
func (f *Forwarder) keep(ctx context.Context) {
	tick := time.NewTicker(f.keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.tell(ctx)
			_ = f.write(ctx) // tried again
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			_ = f.write(last) // the next life finds it a little behind
			return
		}
	}
}

func (f *Forwarder) write(ctx context.Context) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	r, dirty := f.record, f.dirty
	f.dirty = false
	f.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := streams.PutForwarded(ctx, f.opts.JS, r); err != nil {
		f.opts.Log.Warn().Err(err).Msg("how far events are forwarded is not on record, tried again")
		f.mu.Lock()
		f.dirty = true
		f.mu.Unlock()
		return err
	}
	return nil
}
