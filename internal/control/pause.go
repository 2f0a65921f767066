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
		stored, _, err := readStored(ctx, js)
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
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
	stored, _, err := readStored(ctx, js)
	if err != nil {
		return Pauses{}, err
	}
	p, _ := inForce(stored, time.Now())
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
func readStored(ctx context.Context, js jetstream.JetStream) (map[string]*Pause, uint64, error) {
	all, last := map[string]*Pause{}, uint64(0)
	_, err := js.Stream(ctx, stored)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return all, 0, nil // nobody has paused anything
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", streams.Control, err)
	}
	err = streams.Scan(ctx, js, stored, streams.From{}, func(m jetstream.Msg) error {
		note(all, m)
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
// each change, and when one ends by itself; until ctx ends.
func WatchPauses(ctx context.Context, js jetstream.JetStream, changed func(Pauses)) error {
	if err := prepared(ctx, js); err != nil {
		return err
	}
	all, last, err := readStored(ctx, js)
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
		p, next := inForce(all, time.Now())
		timer.Reset(next)
		changed(p)
		select {
		case m := <-updates:
			note(all, m)
		case <-timer.C:
		case err := <-failed:
			ended = true
			return fmt.Errorf("watch %s: %w", streams.Control, err)
		}
	}
}

func note(all map[string]*Pause, m jetstream.Msg) {
	var p Pause
	key := strings.TrimPrefix(m.Subject(), prefix)
	if m.Headers().Get("KV-Operation") != "" || json.Unmarshal(m.Data(), &p) != nil { // removed
		delete(all, key)
		return
	}
	all[key] = &p
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
