package streams

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// Feed hands what one part writes to a stream to another part in the same
// process, so that it need not be read back. It is a short cut and no queue: what
// it drops, or cannot vouch for, the reader takes from the stream.
type Feed[T any] struct {
	mu    sync.Mutex
	parts []Part[T]
	bytes int
	doubt bool          // the stream may hold what was not handed over
	more  chan struct{} // has one element when something has changed
}

// Part is one message of the stream as the writer knows it.
type Part[T any] struct {
	Prev  uint64 // between Prev and Seq the stream has nothing for this reader
	Seq   uint64
	Size  int
	Value T
}

// NewFeed makes a feed for one reader.
func NewFeed[T any]() *Feed[T] { return &Feed[T]{more: make(chan struct{}, 1)} }

const (
	maxFed      = 1024
	maxFedBytes = 1 << 20
)

// Put hands a part over. It never blocks.
func (f *Feed[T]) Put(p Part[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.parts) >= maxFed || f.bytes+p.Size > maxFedBytes {
		f.clear()
	}
	f.parts = append(f.parts, p)
	f.bytes += p.Size
	f.wake()
}

// Doubt says that the stream may hold what was not handed over.
func (f *Feed[T]) Doubt() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear()
	f.wake()
}

func (f *Feed[T]) clear() { f.parts, f.bytes, f.doubt = nil, 0, true }

func (f *Feed[T]) wake() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// take returns the next part for a reader that has everything up to covered.
// read = the feed does not have it, but the stream may.
func (f *Feed[T]) take(covered uint64) (p Part[T], ok, read bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.parts) > 0 && f.parts[0].Seq <= covered {
		f.drop()
	}
	if f.doubt || len(f.parts) > 0 && f.parts[0].Prev > covered {
		f.doubt = false
		return p, false, true
	}
	if len(f.parts) == 0 {
		return p, false, false
	}
	p = f.parts[0]
	f.drop()
	return p, true, false
}

func (f *Feed[T]) drop() {
	f.bytes -= f.parts[0].Size
	f.parts[0] = Part[T]{}
	f.parts = f.parts[1:]
}

// Follow hands the stream to the reader from a sequence on, in order, each
// message once: from the stream until it has caught up, then from the feed. It ends
// with ctx or when the reader fails.
func (f *Feed[T]) Follow(ctx context.Context, js jetstream.JetStream, stream string, from From,
	message func(jetstream.Msg) error, part func(seq uint64, v T) error) error {
	covered, caught := max(from.Seq, 1)-1, from.caught()
	for read := true; ; {
		if read {
			var err error
			if covered, err = catchUp(ctx, js, stream, from, covered, message); err != nil {
				return err
			}
			caught()
		}
		p, ok, again := f.take(covered)
		if read = again; read {
			continue
		}
		if ok {
			covered = p.Seq
			if err := part(p.Seq, p.Value); err != nil {
				return err
			}
			continue
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			return fmt.Errorf("follow %s: %w", stream, ctx.Err())
		}
	}
}

// catchUp reads what the stream holds behind covered; it returns how far that is.
func catchUp(ctx context.Context, js jetstream.JetStream, stream string, from From, covered uint64, message func(jetstream.Msg) error) (uint64, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return covered, fmt.Errorf("look up %s: %w", stream, err)
	}
	end := s.CachedInfo().State.LastSeq
	from.Seq = covered + 1
	if end <= covered {
		return covered, nil
	}
	err = Scan(ctx, js, stream, from, func(m jetstream.Msg) error {
		end = max(end, Seq(m))
		return message(m)
	})
	return end, err
}
