package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/streams"
)

// Pause stops deliveries (SPEC 4). It survives restarts.
type Pause struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero = until resumed
	Intake bool      `json:"intake,omitempty"`
}

// Pauses are those in force.
type Pauses struct {
	All   *Pause            `json:"all,omitempty"`
	Sinks map[string]*Pause `json:"sinks,omitempty"`
}

// Sink tells whether deliveries to a sink are paused.
func (p Pauses) Sink(name string) bool { return p.All != nil || p.Sinks[name] != nil }

// Intake tells whether events are answered with code 7.
func (p Pauses) Intake() bool { return p.All != nil && p.All.Intake }

const allKey, sinkPrefix = "all", "sink."

func key(sink string) string {
	if sink == "" {
		return allKey
	}
	return sinkPrefix + sink
}

// SetPause pauses a sink, or everything for sink "", until ClearPause or its end.
// It is on the disk when it returns; programs that run learn of it at once, others
// before they deliver anything.
func SetPause(ctx context.Context, js jetstream.JetStream, sink string, p Pause) error {
	kv, err := bucket(ctx, js)
	if err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if _, err := kv.Put(ctx, key(sink), data); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	return nil
}

// ClearPause ends a pause; for sink "" all of them.
func ClearPause(ctx context.Context, js jetstream.JetStream, sink string) error {
	kv, err := bucket(ctx, js)
	if err != nil {
		return err
	}
	keys := []string{key(sink)}
	if sink == "" {
		if keys, err = kv.Keys(ctx); errors.Is(err, jetstream.ErrNoKeysFound) {
			return nil
		} else if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	for _, k := range keys {
		if err := kv.Delete(ctx, k); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	return nil
}

// ReadPauses are the pauses in force now.
func ReadPauses(ctx context.Context, js jetstream.JetStream) (Pauses, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got Pauses
	err := WatchPauses(ctx, js, func(p Pauses) { got = p; cancel() })
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return got, err
}

func bucket(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, streams.Control)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, streams.ControlConfig())
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", streams.Control, err)
	}
	return kv, nil
}

// WatchPauses calls changed with the pauses in force: once at the beginning, at
// each change, when one ends by itself, and now and then besides; until ctx ends.
// While it watches, a pause lasts as long as it was meant to, however the computer's
// clock is set.
func WatchPauses(ctx context.Context, js jetstream.JetStream, changed func(Pauses)) error {
	return watchPauses(ctx, js, clock.Now, changed)
}

func watchPauses(ctx context.Context, js jetstream.JetStream, now clock.Func, changed func(Pauses)) error {
	kv, err := bucket(ctx, js)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch %s: %w", streams.Control, err)
	}
	defer func() { _ = w.Stop() }() // the connection may be gone
	stored := map[string]kept{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for begun := false; ; {
		select {
		case u, ok := <-w.Updates():
			if !ok && ctx.Err() != nil { // it ends with ctx
				return ctx.Err()
			}
			if !ok {
				return fmt.Errorf("watch %s: ended", streams.Control)
			}
			if u == nil { // all that was stored has come
				begun = true
			} else {
				note(stored, u, now())
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if begun {
			p, next := inForce(stored, now())
			timer.Reset(next)
			changed(p)
		}
	}
}

// kept is a pause that was read.
type kept struct {
	pause *Pause
	ends  time.Duration // as clock.Moment's Run, if the pause ends by itself
}

func note(stored map[string]kept, u jetstream.KeyValueEntry, now clock.Moment) {
	var p Pause
	if u.Operation() != jetstream.KeyValuePut || json.Unmarshal(u.Value(), &p) != nil {
		delete(stored, u.Key())
		return
	}
	stored[u.Key()] = keep(p, now)
}

// keep settles when a pause ends, whatever becomes of the computer's clock from now
// on. A clock that was set back before does not make it longer than it was meant.
func keep(p Pause, now clock.Moment) kept {
	left := p.Until.Sub(now.Wall)
	if !p.Since.IsZero() {
		left = min(left, p.Until.Sub(p.Since))
	}
	return kept{&p, now.Run + left}
}

// inForce picks the pauses that have not ended, and says when to look again: once a
// second while one is to end, for timers do not count a suspension.
func inForce(stored map[string]kept, now clock.Moment) (Pauses, time.Duration) {
	p, next := Pauses{Sinks: map[string]*Pause{}}, time.Hour
	for k, s := range stored {
		if !s.pause.Until.IsZero() {
			if now.Run >= s.ends {
				continue
			}
			next = min(next, s.ends-now.Run+time.Millisecond, time.Second)
		}
		if k == allKey {
			p.All = s.pause
		} else if name, ok := strings.CutPrefix(k, sinkPrefix); ok {
			p.Sinks[name] = s.pause
		}
	}
	return p, next
}
