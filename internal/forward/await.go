package forward

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// doubt is what the forwarder has when a batch is not answered: is the line slow, or is
// nobody there who stores? A small question tells it, for it goes the same way behind the
// batch: when its answer comes, the batch has passed the line long ago.
type doubt struct {
	names   []string // of the questions
	again   *time.Timer
	settled bool // the line carries, and the hub is there
}

// askAgain is how often a question is repeated: it is small.
const askAgain = 2 * time.Second

// grace is what the hub has to store a batch that has passed the line.
const grace = 1500 * time.Millisecond

// noLife is nobody's: the answer says so, and is short.
const noLife = "none"

// await waits for the answer to a batch, or for a late one that makes it needless.
func (f *Forwarder) await(ctx context.Context, b *batch, p *place) error {
	timer, d := time.NewTimer(f.window.timeout), doubt{again: time.NewTimer(f.window.doubt())}
	defer timer.Stop()
	defer d.again.Stop()
	for {
		select {
		case m := <-f.line.answers:
			name := f.line.name(m)
			if name == b.name {
				return f.answered(b, m, p)
			}
			if d.settles(name) {
				timer.Reset(grace)
			} else if earlier, seq := f.isLate(m); earlier != nil && f.confirm(earlier, seq, p) {
				f.remember(b)
				return nil
			}
		case <-d.again.C:
			if err := d.ask(f.line, streams.EvtLast(f.opts.ATM, noLife)); err != nil {
				return err
			}
		case <-timer.C:
			f.window.silent(d.settled)
			f.remember(b)
			f.count(func(s *Stats) { s.Refusals++ })
			return errSilent
		case <-f.link.changed:
			f.remember(b)
			return errLink
		case err := <-f.reader.done:
			return f.readerFailed(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answered takes the answer to a batch.
func (f *Forwarder) answered(b *batch, m *nats.Msg, p *place) error {
	seq, err := stored(m)
	if err != nil {
		var r *refusal
		if errors.As(err, &r) && (r.Code == tooMany || r.Code == partial) {
			f.window.crowded()
		}
		f.count(func(s *Stats) { s.Refusals++ })
		return err
	}
	f.window.answered(time.Since(b.sent), b.full)
	f.confirm(b, seq, p)
	return nil
}

// ask asks, and asks again: a question may be lost as well, with a hub that dies.
func (d *doubt) ask(l *line, subject string) error {
	name, err := l.request(nats.NewMsg(subject))
	d.names = append(d.names, name)
	d.again.Reset(askAgain)
	return err
}

// settles tells, once, whether this is the answer to a question.
func (d *doubt) settles(name string) bool {
	if d.settled || !slices.Contains(d.names, name) {
		return false
	}
	d.settled = true
	d.again.Stop()
	return true
}
