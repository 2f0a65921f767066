package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
		stored, _, err := readStored(ctx, js, clock.Now)
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		stored[allKey] = kept{} // also where it is not known, after damage: a record that there is none
		keys = slices.Sorted(maps.Keys(stored))
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
	stored, _, err := readStored(ctx, js, clock.Now)
	if err != nil {
		return Pauses{}, err
	}
	p, _ := inForce(stored, clock.Now())
	return p, nil
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

// The bucket is read as a stream, by pull requests: the library's watcher has messages
// delivered to a subject of its own, a right that sinks do not have (package guard).
const stored, prefix = "KV_" + streams.Control, "$KV." + streams.Control + "."

// readStored reads all pauses, ended ones too, and up to which message that is.
func readStored(ctx context.Context, js jetstream.JetStream, now clock.Func) (map[string]kept, uint64, error) {
	all, last := map[string]kept{}, uint64(0)
	_, err := js.Stream(ctx, stored)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return all, 0, nil // nobody has paused anything
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", streams.Control, err)
	}
	err = streams.Scan(ctx, js, stored, streams.From{}, func(m jetstream.Msg) error {
		note(all, m, now())
		last = streams.Seq(m)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", streams.Control, err)
	}
	return all, last, nil
}

// Prepare makes the place of the pauses, if it is not there yet. It is the edge's to do:
// others may not have the right.
func Prepare(ctx context.Context, js jetstream.JetStream) error {
	_, err := bucket(ctx, js)
	return err
}

// prepared waits a moment for the edge to prepare; where there is none, at a hub, the
// first who needs it does.
func prepared(ctx context.Context, js jetstream.JetStream) error {
	wait, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := streams.Await(wait, js, stored); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return Prepare(ctx, js)
}

// WatchPauses calls changed with the pauses in force: once at the beginning, at
// each change, when one ends by itself, and now and then besides; until ctx ends.
// While it watches, a pause lasts as long as it was meant to, however the computer's
// clock is set.
func WatchPauses(ctx context.Context, js jetstream.JetStream, changed func(Pauses)) error {
	return watchPauses(ctx, js, clock.Now, changed)
}

func watchPauses(ctx context.Context, js jetstream.JetStream, now clock.Func, changed func(Pauses)) error {
	if err := prepared(ctx, js); err != nil {
		return err
	}
	all, last, err := readStored(ctx, js, now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	updates, failed := make(chan jetstream.Msg), make(chan error, 1)
	go func() {
		failed <- streams.Follow(ctx, js, stored, streams.From{Seq: last + 1}, func(m jetstream.Msg) error {
			select {
			case updates <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	ended := false
	defer func() {
		cancel()
		if !ended {
			<-failed
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p, next := inForce(all, now())
		timer.Reset(next)
		changed(p)
		select {
		case m := <-updates:
			note(all, m, now())
		case <-timer.C:
		case err := <-failed:
			ended = true
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("watch %s: %w", streams.Control, err)
		}
	}
}

// kept is a pause that was read.
type kept struct {
	pause *Pause
	ends  time.Duration // as clock.Moment's Run, if the pause ends by itself
}

func note(all map[string]kept, m jetstream.Msg, now clock.Moment) {
	var p Pause
	key := strings.TrimPrefix(m.Subject(), prefix)
	if key != allKey && !strings.HasPrefix(key, sinkPrefix) {
		return // no pause: streams.Forwarded
	}
	if m.Headers().Get("KV-Operation") != "" || json.Unmarshal(m.Data(), &p) != nil { // removed
		delete(all, key)
		return
	}
	all[key] = keep(p, now)
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
