package forward

import (
	"context"
	"fmt"
	"time"

	"vestnik/streams"
)

// fork begins a new life of EVENTS at the hub: somebody else forwards under this one.
func (f *Forwarder) fork(ctx context.Context, p place, s situation) (place, error) {
	if err := f.find(ctx, "fork "+s.hub.id, forkText(f.opts.ATM, s.hub.pos.String())); err != nil {
		return p, err
	}
	id, err := f.begin(ctx, p.behind)
	if err != nil {
		return p, err
	}
	f.opts.Log.Error().Str("hub", s.hub.pos.String()).Str("event", s.hub.id).Str("behind", p.behind.String()).Str("life", id).
		Msg("the hub has other events under this edge's numbers: a copy of this disk, or an older image of it, is in use")
	p.fork = false
	return p, nil
}

// begin begins a new life behind a position.
func (f *Forwarder) begin(ctx context.Context, behind streams.Position) (life string, err error) {
	events, err := f.opts.JS.Stream(ctx, streams.Events)
	if err != nil {
		return "", fmt.Errorf("look up EVENTS: %w", err)
	}
	cfg := events.CachedInfo().Config
	life = streams.NewIncarnation(time.Now())
	streams.Fork(&cfg, life, behind)
	if _, err := f.opts.JS.UpdateStream(ctx, cfg); err != nil {
		return "", fmt.Errorf("begin a new life of EVENTS: %w", err)
	}
	return life, nil
}

// renumbered begins a new life where the terminal has another number than the one that
// events were forwarded under: what the hub has stays under the old one, and is not sent
// again under the new one, nor when the number is changed back.
func (f *Forwarder) renumbered(ctx context.Context) error {
	r, err := f.recorded(ctx)
	atm := streams.Terminal(f.opts.ATM)
	if err != nil || r.ATM == atm {
		return err
	}
	life := ""
	if r.ATM != "" {
		events, err := f.opts.JS.Stream(ctx, streams.Events)
		if err != nil {
			return fmt.Errorf("look up EVENTS: %w", err)
		}
		life, err = f.begin(ctx, r.At().Live(streams.Lives(events.CachedInfo().Config.Metadata)))
		if err != nil {
			return err
		}
		f.opts.Log.Warn().Str("before", r.ATM).Str("now", atm).Str("behind", r.Position).Str("life", life).Msg("the terminal has another number: what follows is forwarded under that")
	}
	f.mu.Lock()
	f.record.ATM, f.record.Life, f.dirty = atm, life, true
	f.mu.Unlock()
	return f.write(ctx)
}
