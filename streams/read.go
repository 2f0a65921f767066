package streams

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// From says what to read of a stream.
type From struct {
	Subjects []string // none = all
	Seq      uint64   // the first sequence wanted; 0 = the stream's first
	Ahead    int      // messages fetched ahead, 0 = 256
	Headers  bool     // only headers, no data
	Caught   func()   // called once by Follow when all that the stream held at the beginning has been handed over; nil = nobody asks
}

func (f From) ahead() int {
	if f.Ahead == 0 {
		return 256
	}
	return f.Ahead
}

// Follow hands every message of the stream to f, in order, each once, and waits
// for more, until ctx ends or f fails. No acks: positions are ours to keep.
func Follow(ctx context.Context, js jetstream.JetStream, stream string, from From, f func(jetstream.Msg) error) error {
	p, err := openPull(ctx, js, stream, from, pullSilence)
	if err != nil {
		return err
	}
	defer p.close()
	caught := from.caught()
	if p.pending == 0 {
		caught()
	}
	for {
		m, err := p.next(ctx)
		if errors.Is(err, errSilent) {
			if err = p.again(ctx, err); err == nil && p.pending == 0 {
				caught() // what was still to come has been removed
			}
		}
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if err := f(m); err != nil {
			return err
		}
		if m.meta.NumPending == 0 {
			caught()
		}
	}
}

func (f From) caught() func() {
	if f.Caught == nil {
		return func() {}
	}
	return sync.OnceFunc(f.Caught)
}

// scanSilence is how long a Scan waits for a message before it asks whether one
// comes.
const scanSilence = 100 * time.Millisecond

// ErrEnough ends a Scan early, without an error.
var ErrEnough = errors.New("enough")

// Scan hands to f what the stream holds now, in order, and returns.
func Scan(ctx context.Context, js jetstream.JetStream, stream string, from From, f func(jetstream.Msg) error) error {
	p, err := openPull(ctx, js, stream, from, scanSilence)
	if err != nil {
		return err
	}
	defer p.close()
	p.limited = true
	for left := p.pending; left > 0; {
		m, err := p.next(ctx)
		if errors.Is(err, errSilent) {
			if left, err = p.left(ctx, left); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := f(m); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
		left = m.meta.NumPending
	}
	return nil
}

// Seq is the message's number in its stream, 0 if it did not come from one.
func Seq(msg jetstream.Msg) uint64 {
	if m, ok := msg.(*message); ok {
		return m.meta.Sequence.Stream
	}
	meta, err := msg.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}

// StoredAt is when the message was stored, zero if it did not come from a stream.
func StoredAt(msg jetstream.Msg) time.Time {
	if m, ok := msg.(*message); ok {
		return m.meta.Timestamp
	}
	meta, err := msg.Metadata()
	if err != nil {
		return time.Time{}
	}
	return meta.Timestamp
}
