package forward

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// askLife asks for the last event of a life at the hub, nil = none. The event itself may be
// 64 KiB, which a line of 8 kbit/s brings in a minute: it is asked for only where its
// sequence is not that of the event that is known to be the last.
func (f *Forwarder) askLife(ctx context.Context, life string) (*found, error) {
	seq, err := f.askSeq(ctx, life, streams.EvtLife(f.opts.ATM, life))
	if err != nil || seq == 0 {
		return nil, err
	}
	if f.last != nil && f.last.pos.Incarnation == life && f.last.seq == seq {
		return f.last, nil
	}
	last, err := f.askEvent(ctx, streams.EvtLast(f.opts.ATM, life))
	switch {
	case err != nil:
		return nil, err
	case last == nil || last.seq < seq:
		return nil, errBehind
	case last.pos.Incarnation != life:
		return nil, fmt.Errorf("the hub answers %s for life %s", last.pos, life)
	}
	f.last = last
	return last, nil
}

// askSeq asks for the sequence of the last event of these subjects, 0 = there is none: by a
// message in a life that is not stored, for its guard is impossible. EVT's leader answers.
func (f *Forwarder) askSeq(ctx context.Context, life, subjects string) (uint64, error) {
	probe := nats.NewMsg(streams.Evt(f.opts.ATM, "0", "other", life))
	probe.Header[lastSubject], probe.Header[lastOf] = []string{fmt.Sprint(uint64(impossible))}, []string{subjects}
	return f.probe(ctx, probe)
}

// askEnd asks for EVT's last sequence, likewise.
func (f *Forwarder) askEnd(ctx context.Context, life string) (uint64, error) {
	probe := nats.NewMsg(streams.Evt(f.opts.ATM, "0", "other", life))
	probe.Header[lastSequence] = []string{fmt.Sprint(uint64(impossible))}
	return f.probe(ctx, probe)
}

func (f *Forwarder) probe(ctx context.Context, m *nats.Msg) (uint64, error) {
	answer, err := f.ask(ctx, m, quickly)
	if err != nil {
		return 0, err
	}
	return endOfEvt(answer)
}

// askEvent asks for an event itself, nil = there is none.
func (f *Forwarder) askEvent(ctx context.Context, subject string) (*found, error) {
	answer, err := f.ask(ctx, nats.NewMsg(subject), patiently)
	if err != nil {
		return nil, err
	}
	return lastOfLife(answer)
}

// pace is how often a question is repeated: after this share of the time for which the hub
// has been silent, but not before least, and not after most; and for how long.
type pace struct {
	share       time.Duration
	least, most time.Duration
	limit       time.Duration
}

var (
	// quickly is for small questions with small answers: they may be lost, and a hub that
	// has come, or has chosen a leader, is to be found at once.
	quickly = pace{6, 200 * time.Millisecond, 10 * time.Second, 30 * time.Second}
	// patiently is for answers with an event, each of which the line has to carry.
	patiently = pace{1, 15 * time.Second, time.Minute, 3 * time.Minute}
)

// pause is how long to wait after so long a silence.
func (p pace) pause(silence time.Duration) time.Duration {
	return min(max(silence/p.share, p.least), p.most)
}

// tellSilence is how long the hub may be silent before that is told.
const tellSilence = 2 * time.Second

// ask waits for an answer.
func (f *Forwarder) ask(ctx context.Context, m *nats.Msg, p pace) (*nats.Msg, error) {
	var names []string // of the answers that are waited for
	begun := time.Now()
	if f.silent.IsZero() {
		f.silent = begun
	}
	for time.Since(begun) < p.limit {
		name, err := f.line.request(m)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
		answer, err := f.hear(ctx, names, p.pause(time.Since(f.silent)))
		if answer != nil {
			f.silent = time.Time{}
			return answer, nil
		}
		if err != nil {
			return nil, err
		}
		if time.Since(f.silent) > tellSilence {
			f.failed(errSilent)
		}
	}
	return nil, errSilent
}

// hear waits so long for one of these answers, nil = none came. A late answer to a batch
// tells of the last event, too.
func (f *Forwarder) hear(ctx context.Context, names []string, most time.Duration) (*nats.Msg, error) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case m := <-f.line.answers:
			if slices.Contains(names, f.line.name(m)) {
				return m, nil
			}
			if b, seq := f.isLate(m); b != nil {
				f.last = &found{b.end.pos, seq, b.end.id}
			}
		case <-timer.C:
			return nil, nil
		case <-f.link.changed:
			return nil, errLink
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// maxLate batches are remembered after their time is over: their answers may still come.
const maxLate = 8

func (f *Forwarder) remember(b *batch) {
	if f.late = append(f.late, b); len(f.late) > maxLate {
		f.late = f.late[1:]
	}
}

// isLate tells whether m says that an earlier batch is stored.
func (f *Forwarder) isLate(m *nats.Msg) (*batch, uint64) {
	i := slices.IndexFunc(f.late, func(b *batch) bool { return b.name == f.line.name(m) })
	if i < 0 {
		return nil, 0
	}
	b := f.late[i]
	f.late = slices.Delete(f.late, i, i+1)
	seq, err := stored(m)
	if err != nil {
		return nil, 0
	}
	return b, seq
}
