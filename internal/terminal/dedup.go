package terminal

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
)

// maxRemembered bounds the memory of dedup, about 10 MB.
const maxRemembered = 1 << 16

type digest = [sha256.Size]byte

// dedup is the deduplication window of SPEC 2: an event that repeats signature
// and body of one recorded less than window ago is taken and not recorded
// again. It forgets at a restart: then an event may be stored twice, never not
// at all.
type dedup struct {
	rec    Recorder
	window time.Duration
	now    clock.Func

	mu    sync.Mutex
	first map[digest]*sighting
	order []*sighting // oldest first
}

// A sighting is the first of several equal events.
type sighting struct {
	key  digest
	at   time.Duration // clock.Moment's Run: whoever sets the clock neither ends nor stretches the window
	done chan struct{} // closed when err is set
	err  error
}

func newDedup(rec Recorder, window time.Duration, now clock.Func) *dedup {
	return &dedup{rec: rec, window: window, now: now, first: map[digest]*sighting{}}
}

// Record waits where an equal event is just being recorded: only its success
// makes this one a repetition.
func (d *dedup) Record(ctx context.Context, e *event.Event) error {
	key := sha256.Sum256(append([]byte(e.Signature), e.Raw...))
	mine, earlier := d.sight(key)
	if earlier != nil {
		select {
		case <-earlier.done:
			if earlier.err == nil {
				return nil
			}
			return d.rec.Record(ctx, e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	mine.err = errNotRecorded // stays if the Recorder panics
	defer d.settle(mine)
	mine.err = d.rec.Record(ctx, e)
	return mine.err
}

var errNotRecorded = errors.New("not recorded")

// sight notes an event, or finds the earlier one that it repeats.
func (d *dedup) sight(key digest) (mine, earlier *sighting) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now().Run
	for len(d.order) > 0 && (d.over(d.order[0], now) || len(d.order) >= maxRemembered) {
		d.drop(d.order[0])
		d.order[0] = nil
		d.order = d.order[1:]
	}
	if s := d.first[key]; s != nil && !d.over(s, now) {
		return nil, s
	}
	mine = &sighting{key: key, at: now, done: make(chan struct{})}
	d.first[key] = mine
	d.order = append(d.order, mine)
	return mine, nil
}

// over tells whether s is out of the window.
func (d *dedup) over(s *sighting, now time.Duration) bool { return now-s.at >= d.window }

// settle lets the repetitions go that wait for s; an event that was not
// recorded is not repeated by anything.
func (d *dedup) settle(s *sighting) {
	if s.err != nil {
		d.mu.Lock()
		d.drop(s)
		d.mu.Unlock()
	}
	close(s.done)
}

func (d *dedup) drop(s *sighting) {
	if d.first[s.key] == s {
		delete(d.first, s.key)
	}
}
