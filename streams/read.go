package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// From says what to read of a stream.
type From struct {
	Subjects []string // none = all
	Seq      uint64   // the first sequence wanted; 0 = the stream's first
	Ahead    int      // messages fetched ahead, 0 = 256
	Headers  bool     // only headers, no data
}

func (f From) consumer() jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: f.Subjects, HeadersOnly: f.Headers}
	if f.Seq > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.Seq
	}
	return cfg
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
	cons, err := js.OrderedConsumer(ctx, stream, from.consumer())
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(from.ahead()))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer it.Stop()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if err := f(msg); err != nil {
			return err
		}
	}
}

// ErrEnough ends a Scan early, without an error.
var ErrEnough = errors.New("enough")

// Scan hands to f what the stream holds now, in order, and returns.
func Scan(ctx context.Context, js jetstream.JetStream, stream string, from From, f func(jetstream.Msg) error) error {
	cons, err := js.OrderedConsumer(ctx, stream, from.consumer())
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	if cons.CachedInfo().NumPending == 0 {
		return drop(ctx, js, stream, cons)
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(from.ahead()))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer drop(ctx, js, stream, cons)
	defer it.Stop()
	for last := (*jetstream.MsgMetadata)(nil); ; {
		msg, err := it.Next(jetstream.NextMaxWait(scanIdle))
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %w", stream, ctx.Err())
		}
		if errors.Is(err, nats.ErrTimeout) {
			if exhausted(ctx, cons, last) {
				return nil
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		last = meta
		if err := f(msg); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// scanIdle is how long a Scan waits for a message before it asks whether one comes.
const scanIdle = 100 * time.Millisecond

// exhausted tells whether all that the consumer has was handed over: the messages
// that were still to come may have been purged.
func exhausted(ctx context.Context, cons jetstream.Consumer, last *jetstream.MsgMetadata) bool {
	info, err := cons.Info(ctx)
	if err != nil {
		return false // the connection is away: Next goes on when it is back, or fails
	}
	handed := uint64(0)
	if last != nil && last.Consumer == info.Name { // else it is a new one, after a lost connection
		handed = last.Sequence.Consumer
	}
	return info.NumPending == 0 && info.Delivered.Consumer <= handed
}

// drop removes the consumer at once: the server would keep it for minutes.
func drop(ctx context.Context, js jetstream.JetStream, stream string, cons jetstream.Consumer) error {
	if info := cons.CachedInfo(); info != nil {
		_ = js.DeleteConsumer(ctx, stream, info.Name) // it goes by itself later
	}
	return nil
}

// Seq is the message's number in its stream, 0 if it did not come from one.
func Seq(msg jetstream.Msg) uint64 {
	meta, err := msg.Metadata()
	if err != nil {
		return 0
	}
	return meta.Sequence.Stream
}
