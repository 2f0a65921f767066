package router

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Feed hands committed events to a router in the same process, so that they
// need not be read back from EVENTS. It is a short cut and no queue: what it
// drops, the router reads from the stream.
type Feed struct {
	mu     sync.Mutex
	inputs []input // of consecutive sequences
	bytes  int
	doubt  bool          // something may be in EVENTS that was not handed over
	more   chan struct{} // has one element when something has changed
}

// NewFeed makes a feed.
func NewFeed() *Feed { return &Feed{more: make(chan struct{}, 1)} }

const (
	maxFed      = 1024
	maxFedBytes = 2 << 20
)

// Put hands on the events of message seq of EVENTS. seq 0 says that a commit's
// outcome is not known. It never blocks.
func (f *Feed) Put(seq uint64, events []*event.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.inputs); seq == 0 || n >= maxFed || f.bytes > maxFedBytes || n > 0 && f.inputs[n-1].seq+1 != seq {
		f.inputs, f.bytes, f.doubt = nil, 0, true
	}
	if seq > 0 {
		f.inputs = append(f.inputs, input{seq: seq, events: events})
		for _, e := range events {
			f.bytes += len(e.Raw)
		}
	}
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// take returns the input next, if the feed has it. read = it does not have it,
// but EVENTS may.
func (f *Feed) take(next uint64) (in input, ok, read bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.inputs) > 0 && f.inputs[0].seq < next {
		f.drop()
	}
	if len(f.inputs) > 0 && f.inputs[0].seq == next {
		in = f.inputs[0]
		f.drop()
		f.doubt = f.doubt && len(f.inputs) == 0
		return in, true, false
	}
	read = f.doubt || len(f.inputs) > 0
	f.doubt = false
	return input{}, false, read
}

func (f *Feed) drop() {
	for _, e := range f.inputs[0].events {
		f.bytes -= len(e.Raw)
	}
	f.inputs[0] = input{}
	f.inputs = f.inputs[1:]
}

// follow hands EVENTS to the session from message next on: from the stream
// until it has caught up, then from the feed.
func (f *Feed) follow(ctx context.Context, js jetstream.JetStream, next uint64, hand func(input) error) error {
	for read := true; ; {
		if read {
			from := streams.From{Seq: next, Ahead: ahead}
			err := streams.Scan(ctx, js, streams.Events, from, func(m jetstream.Msg) error {
				in := parseInput(m)
				next = in.seq + 1
				return hand(in)
			})
			if err != nil {
				return err
			}
		}
		in, ok, again := f.take(next)
		if ok {
			next = in.seq + 1
			if err := hand(in); err != nil {
				return err
			}
			read = false
			continue
		}
		if read = again; read {
			continue
		}
		select {
		case <-f.more:
		case <-ctx.Done():
			return fmt.Errorf("follow EVENTS: %w", ctx.Err())
		}
	}
}

func parseInput(m jetstream.Msg) input {
	events, err := event.Parse(event.Header(m.Headers()), m.Data())
	return input{seq: streams.Seq(m), events: events, err: err}
}
