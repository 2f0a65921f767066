package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// Pause stops deliveries (SPEC 4). It survives restarts.
type Pause struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero = until resumed
	Intake bool      `json:"intake,omitempty"`
}

func (p *Pause) active(now time.Time) bool {
	return p != nil && (p.Until.IsZero() || now.Before(p.Until))
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
// each change, and when one ends by itself; until ctx ends.
func WatchPauses(ctx context.Context, js jetstream.JetStream, changed func(Pauses)) error {
	kv, err := bucket(ctx, js)
	if err != nil {
		return err
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch %s: %w", streams.Control, err)
	}
	defer func() { _ = w.Stop() }() // the connection may be gone
	stored := map[string]*Pause{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for begun := false; ; {
		select {
		case u, ok := <-w.Updates():
			if !ok && ctx.Err() != nil { // the end of ctx closes it too
				return ctx.Err()
			}
			if !ok {
				return fmt.Errorf("watch %s: ended", streams.Control)
			}
			if u == nil { // all that was stored has come
				begun = true
			} else {
				note(stored, u)
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if begun {
			p, next := inForce(stored, time.Now())
			timer.Reset(next)
			changed(p)
		}
	}
}

func note(stored map[string]*Pause, u jetstream.KeyValueEntry) {
	var p Pause
	if u.Operation() != jetstream.KeyValuePut || json.Unmarshal(u.Value(), &p) != nil {
		delete(stored, u.Key())
		return
	}
	stored[u.Key()] = &p
}

// inForce picks the pauses that have not ended, and says when to look again.
func inForce(stored map[string]*Pause, now time.Time) (Pauses, time.Duration) {
	p, next := Pauses{Sinks: map[string]*Pause{}}, time.Hour
	for k, pause := range stored {
		if !pause.active(now) {
			continue
		}
		if !pause.Until.IsZero() {
			next = min(next, pause.Until.Sub(now)+time.Millisecond)
		}
		if k == allKey {
			p.All = pause
		} else if name, ok := strings.CutPrefix(k, sinkPrefix); ok {
			p.Sinks[name] = pause
		}
	}
	return p, next
}
