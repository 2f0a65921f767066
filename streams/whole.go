package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// RouteMark records in DONE, synced, up to where messages of ROUTE may have been
// removed (docs/adr/0019). No sink has such a name.
const RouteMark = "mark.ROUTE"

// Removed is the data of RouteMark: what is missing in ROUTE up to Upto was removed,
// what is missing behind is lost. Void are ranges that the router has given up behind
// a hole: what a power cut brings back of them does not count.
type Removed struct {
	Upto uint64  `json:"upto"`
	Void []Range `json:"void,omitempty"`
}

// Range is a range of sequences, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Before is what still holds if ROUTE ends at last.
func (r Removed) Before(last uint64) Removed {
	kept := Removed{Upto: min(r.Upto, last)}
	for _, v := range r.Void {
		if v.From <= last {
			kept.Void = append(kept.Void, Range{v.From, min(v.To, last)})
		}
	}
	return kept
}

// ReadRemoved reads RouteMark; ok = there is one.
func ReadRemoved(ctx context.Context, js jetstream.JetStream) (r Removed, ok bool, err error) {
	done, err := js.Stream(ctx, Done)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("look up DONE: %w", err)
	}
	m, err := done.GetLastMsgForSubject(ctx, RouteMark)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("read %s in DONE: %w", RouteMark, err)
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return r, false, fmt.Errorf("read %s in DONE: %w", RouteMark, err)
	}
	return r, true, nil
}

// PutMark replaces the mark that stands under a subject of DONE; it is on the disk
// when PutMark returns.
func PutMark(ctx context.Context, js jetstream.JetStream, subject string, mark any) error {
	data, err := json.Marshal(mark)
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	done, err := js.Stream(ctx, Done)
	if err != nil {
		return fmt.Errorf("look up DONE: %w", err)
	}
	put := func() error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data})
		return err
	}
	if err = put(); IsFull(err) && subject == RouteMark {
		err = squeeze(ctx, js, done.CachedInfo(), put)
	}
	if err != nil {
		return fmt.Errorf("mark in DONE: %w", err)
	}
	if err := done.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeKeep(1)); err != nil {
		return fmt.Errorf("mark in DONE: %w", err)
	}
	return nil
}

// squeezed is by how much DONE's limit is raised for a mark.
const squeezed = 16 << 10

// squeeze puts RouteMark into a DONE that is full to the brim, as it is when sinks went
// on without a keeper: without the mark nothing may leave ROUTE, and no hole is mended;
// and as long as events are in ROUTE their outcomes stay in DONE.
func squeeze(ctx context.Context, js jetstream.JetStream, info *jetstream.StreamInfo, put func() error) error {
	set := func(bytes int64) error {
		cfg := info.Config
		cfg.MaxBytes = bytes
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("limit of DONE: %w", err)
		}
		return nil
	}
	if err := set(max(info.Config.MaxBytes, int64(info.State.Bytes)) + squeezed); err != nil {
		return err
	}
	return errors.Join(put(), set(info.Config.MaxBytes))
}

// Hole is the first message that ROUTE has lost while later ones are still there,
// or the first of a void range that is there again; 0 = none. ROUTE is written
// behind, in several files, and a power cut may take the end of one of them and leave
// the next. Without a mark nothing can be told.
func Hole(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	r, ok, err := ReadRemoved(ctx, js)
	if err != nil || !ok {
		return 0, err
	}
	for _, v := range r.Void {
		first, err := firstFrom(ctx, js, v.From)
		if err != nil || first > 0 && first <= v.To {
			return v.From, err
		}
	}
	there, err := pendingFrom(ctx, js, r.Upto+1)
	if err != nil {
		return 0, err
	}
	route, err := js.Stream(ctx, Route)
	if err != nil {
		return 0, fmt.Errorf("look up ROUTE: %w", err)
	}
	// The router may have written since: then there seem to be too few, and the
	// messages are looked at one by one.
	if r.Upto+there >= route.CachedInfo().State.LastSeq {
		return 0, nil
	}
	hole, err := firstGap(ctx, js, r.Upto+1)
	if err != nil || hole == 0 {
		return 0, err
	}
	// The keeper may have removed since; its mark came first.
	if r, _, err = ReadRemoved(ctx, js); err != nil || r.Upto < hole {
		return hole, err
	}
	return Hole(ctx, js)
}

// firstGap is the first number that is missing between messages of ROUTE.
func firstGap(ctx context.Context, js jetstream.JetStream, next uint64) (hole uint64, err error) {
	err = Scan(ctx, js, Route, From{Seq: next, Headers: true}, func(m jetstream.Msg) error {
		if Seq(m) != next {
			hole = next
			return ErrEnough
		}
		next++
		return nil
	})
	return hole, err
}

// firstFrom is the first message of ROUTE from a number on, 0 = none.
func firstFrom(ctx context.Context, js jetstream.JetStream, seq uint64) (first uint64, err error) {
	err = Scan(ctx, js, Route, From{Seq: seq, Headers: true, Ahead: 1}, func(m jetstream.Msg) error {
		first = Seq(m)
		return ErrEnough
	})
	return first, err
}

// pendingFrom counts what ROUTE holds from a message on.
func pendingFrom(ctx context.Context, js jetstream.JetStream, seq uint64) (uint64, error) {
	p, err := openPull(ctx, js, Route, From{Seq: seq, Headers: true}, scanSilence, true)
	if err != nil {
		return 0, err
	}
	defer p.close()
	return p.pending, nil
}

// AwaitWhole waits until ROUTE has no hole: the router mends it, and who reads
// before would take later events first.
func AwaitWhole(ctx context.Context, js jetstream.JetStream) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		hole, err := askHole(ctx, js)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil: // the guard still looks
		case err != nil || hole == 0:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the router to mend ROUTE, which lacks message %d: %w", hole, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// Wholeness is the answer to a request Guard + Whole: for those who may not read what
// others are owed, and so cannot look themselves.
type Wholeness struct {
	Hole uint64 `json:"hole"` // as Hole returns it
}

// Whole is the subject of such a request, behind the prefix of JetStream's requests.
const Whole = "WHOLE"

// askTimeout is how long the guard may look: a second for 300,000 messages.
const askTimeout = 5 * time.Second

// askHole has the guard look, where there is one.
func askHole(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	prefix := requests(js)
	if prefix == jetstream.DefaultAPIPrefix {
		return Hole(ctx, js)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := js.Conn().RequestWithContext(ctx, prefix+Whole, nil)
	if errors.Is(err, nats.ErrNoResponders) { // a prefix without a guard, as at a hub
		return Hole(ctx, js)
	}
	if err != nil {
		return 0, fmt.Errorf("ask whether ROUTE is whole: %w", err)
	}
	var w Wholeness
	if err := json.Unmarshal(m.Data, &w); err != nil {
		return 0, fmt.Errorf("ask whether ROUTE is whole: %w", err)
	}
	return w.Hole, nil
}
