package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/streams"
)

const (
	recordWait    = 2 * time.Millisecond // outcomes gather so long: one sync for all
	recordMax     = 256 << 10            // bytes of one DONE message, about
	recordTimeout = 4 * time.Second
)

// recorder writes outcomes to DONE. It lives as long as the Runner: outcomes
// that a lost connection keeps it from writing are written before anything is
// delivered again, so they are not delivered twice.
type recorder struct {
	sink string
	log  zerolog.Logger

	mu      sync.Mutex
	waiting []streams.Outcome
	buf     []byte        // of the message being made
	more    chan struct{} // has one element when something waits

	failing atomic.Pointer[string] // why DONE does not take outcomes, nil = it does
}

func newRecorder(sink string, log zerolog.Logger) *recorder {
	return &recorder{sink: sink, log: log, more: make(chan struct{}, 1)}
}

func (r *recorder) add(list ...streams.Outcome) {
	r.mu.Lock()
	r.waiting = append(r.waiting, list...)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// pending is how many outcomes are not in DONE yet.
func (r *recorder) pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// run writes outcomes as they come, and tells recorded, until ctx ends.
func (r *recorder) run(ctx context.Context, js jetstream.JetStream, recorded func([]streams.Outcome, uint64)) error {
	for {
		select {
		case <-r.more:
		case <-ctx.Done():
			return nil
		}
		t := time.NewTimer(recordWait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		if err := r.flush(ctx, js, recorded); err != nil {
			return err
		}
	}
}

// flush writes all that waits.
func (r *recorder) flush(ctx context.Context, js jetstream.JetStream, recorded func([]streams.Outcome, uint64)) error {
	for {
		m, list, err := r.message()
		if err != nil || len(list) == 0 {
			return err
		}
		seq, err := r.publish(ctx, js, m)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.waiting = r.waiting[len(list):]
		r.mu.Unlock()
		if recorded != nil {
			recorded(list, seq)
		}
	}
}

// message packs what waits, up to a size.
func (r *recorder) message() (*nats.Msg, []streams.Outcome, error) {
	r.mu.Lock()
	list := r.waiting
	r.mu.Unlock()
	if len(list) == 0 {
		return nil, nil, nil
	}
	terminal, data := list[0].Terminal, append(r.buf[:0], '[')
	n := 0
	for ; n < len(list) && (n == 0 || len(data)+len(list[n].Event) < recordMax); n++ {
		if n > 0 {
			data = append(data, ',')
		}
		one, err := json.Marshal(&list[n])
		if err != nil {
			return nil, nil, fmt.Errorf("outcome of event %s: %w", list[n].ID, err)
		}
		data = append(data, one...)
		if list[n].Terminal != terminal {
			terminal = ""
		}
	}
	subject := streams.DoneBatch(r.sink)
	if terminal != "" {
		subject = streams.DoneOne(r.sink, terminal)
	}
	r.buf = append(data, ']')
	return &nats.Msg{Subject: subject, Data: r.buf}, list[:n:n], nil
}

// publish tries until DONE has the message: until then nothing more is
// delivered than is already in flight.
func (r *recorder) publish(ctx context.Context, js jetstream.JetStream, m *nats.Msg) (uint64, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		try, cancel := context.WithTimeout(ctx, recordTimeout)
		ack, err := js.PublishMsg(try, m, jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			r.failing.Store(nil)
			return ack.Sequence, nil
		}
		if ctx.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) {
			return 0, fmt.Errorf("record outcomes in DONE: %w", err)
		}
		text := err.Error()
		r.failing.Store(&text)
		r.log.Error().Err(err).Int("waiting", r.pending()).Msg("outcomes cannot be recorded in DONE, delivery waits")
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return 0, fmt.Errorf("record outcomes in DONE: %w", ctx.Err())
		}
	}
}
