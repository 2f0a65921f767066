package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// front is the old end of EVENTS, or of EVT, which goes by age and size (SPEC 4: keep_age
// and keep_bytes, oldest first).
type front struct {
	js        jetstream.JetStream
	stream    jetstream.Stream
	keepAge   time.Duration
	keepBytes int64 // 0 = 80 % of the stream's limit
}

// limit is the first message to keep; ran is how long this keeper has run since it asked last.
func (f front) limit(ctx context.Context, now time.Time, ran time.Duration) (uint64, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up the oldest events: %w", err)
	}
	upto := info.State.FirstSeq
	if oldest := f.ageLimit(info.State.FirstTime, now, ran); info.State.Msgs > 0 && info.State.FirstTime.Before(oldest) {
		if upto, err = f.firstSince(ctx, info.Config.Name, oldest, info.State.LastSeq+1); err != nil {
			return 0, err
		}
	}
	keep := f.keepBytes
	if keep == 0 {
		keep = info.Config.MaxBytes / 10 * 8
	}
	if over := int64(info.State.Bytes) - keep; keep > 0 && over > 0 && info.State.Msgs > 0 {
		share := float64(over) / float64(info.State.Bytes)
		upto = max(upto, info.State.FirstSeq+uint64(share*float64(info.State.LastSeq-info.State.FirstSeq+1)))
	}
	return upto, nil
}

// agePace is how many times faster than time events may go by age: what 30 days
// gathered, in 30 hours of running.
const agePace = 24

// ageLimit is the time before which events may go by age, if the stream begins at first. A
// clock that was set forward by years, or was wrong when the computer started, must
// not cost at once what an analysis needs: somebody has a day to notice (ADR 0025).
func (f front) ageLimit(first, now time.Time, ran time.Duration) time.Time {
	oldest, soonest := now.Add(-f.keepAge), first.Add(agePace*ran)
	if soonest.Before(oldest) {
		return soonest
	}
	return oldest
}

// firstSince is the first message that was stored at or after t. It reads
// from the front: the server's search by time trusts that times only grow, and what
// lies behind a message that is young enough is younger, whatever the clock said.
func (f front) firstSince(ctx context.Context, name string, t time.Time, end uint64) (uint64, error) {
	err := streams.Scan(ctx, f.js, name, streams.From{Headers: true}, func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if !meta.Timestamp.Before(t) {
			end = meta.Sequence.Stream
			return streams.ErrEnough
		}
		return nil
	})
	return end, err
}

// purge removes the messages of a subject before sequence upto; "" = all subjects.
func purge(ctx context.Context, stream jetstream.Stream, subject string, upto uint64) (uint64, error) {
	before, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	if upto <= before.State.FirstSeq {
		return 0, nil
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(upto)}
	if subject != "" {
		opts = append(opts, jetstream.WithPurgeSubject(subject))
	}
	if err := stream.Purge(ctx, opts...); err != nil {
		return 0, fmt.Errorf("purge %s of %s: %w", subject, before.Config.Name, err)
	}
	after, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return removed(before, after), nil
}

func removed(before, after *jetstream.StreamInfo) uint64 {
	added := after.State.LastSeq - before.State.LastSeq
	return before.State.Msgs + added - after.State.Msgs
}
