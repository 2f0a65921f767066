package forward

import (
	"context"
	"fmt"
	"slices"
	"time"

	"vestnik/streams"
)

// reading is a reader at work.
type reading struct {
	stop func()
	done chan error
}

// read has the buffer begin at a place.
func (f *Forwarder) read(ctx context.Context, p place) error {
	behind := p.behind
	events, err := f.opts.JS.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("look up EVENTS: %w", err)
	}
	meta := events.CachedInfo().Config.Metadata // where events are routed changes only while no forwarder runs
	lives := streams.Lives(meta)
	if f.reader != nil && slices.Equal(lives, f.lives) {
		if n := f.buf.upTo(behind); n > 0 || behind == f.done { // what is read goes on there
			if n > 0 { // their confirmation did not come
				f.forwarded(n, p.expect)
			}
			f.done = behind
			return nil
		}
	}
	f.unread()
	f.lives, f.buf, f.done = lives, newBuffer(), behind
	r := &reader{js: f.opts.JS, lives: lives, behind: behind, atm: f.opts.ATM, routed: streams.Stretches(meta), to: f.buf, log: f.opts.Log}
	inner, cancel := context.WithCancel(ctx)
	f.reader = &reading{stop: cancel, done: make(chan error, 1)}
	go func(done chan error) { done <- r.run(inner) }(f.reader.done)
	return nil
}

func (f *Forwarder) unread() {
	if f.reader != nil {
		f.reader.stop()
		<-f.reader.done
		f.reader = nil
	}
}

// pump sends batches, one at a time, until something is wrong.
func (f *Forwarder) pump(ctx context.Context, p *place) error {
	f.well()
	for {
		if time.Since(f.looked) > f.every {
			return errLook
		}
		items, full := f.buf.next(f.window)
		if len(items) == 0 {
			if err := f.idle(ctx); err != nil {
				return err
			}
			continue
		}
		expect := uint64(0)
		if items[0].pos.Incarnation == p.life {
			expect = p.expect
		}
		b, err := f.line.send(f.opts.ATM, items, expect)
		if err != nil {
			return err
		}
		b.full = full
		if err := f.await(ctx, b, p); err != nil {
			return err
		}
	}
}

// idle waits for something to send.
func (f *Forwarder) idle(ctx context.Context) error {
	look := time.NewTimer(time.Until(f.looked.Add(f.every)))
	defer look.Stop()
	select {
	case <-f.buf.more:
		return nil
	case <-look.C:
		return errLook
	case m := <-f.line.answers:
		f.isLate(m) // stored long ago, or asked long ago
		return nil
	case err := <-f.reader.done:
		return f.readerFailed(err)
	case <-f.link.changed:
		return errLink
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Forwarder) readerFailed(err error) error {
	f.reader.stop()
	f.reader = nil
	return fmt.Errorf("read EVENTS: %w", err)
}

// confirm takes what the hub has stored from the buffer; false: nothing of it is there.
func (f *Forwarder) confirm(b *batch, seq uint64, p *place) bool {
	n := f.buf.upTo(b.end.pos)
	if n == 0 {
		return false
	}
	f.last = &found{b.end.pos, seq, b.end.id}
	p.life, p.expect = b.end.pos.Incarnation, seq
	f.forwarded(n, seq)
	f.count(func(s *Stats) { s.Batches++ })
	return true
}

// forwarded drops the first n events of the buffer: the hub has them, the last as seq.
func (f *Forwarder) forwarded(n int, seq uint64) {
	end := f.buf.drop(n)
	f.done = end.pos
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record.Position, f.record.Hub, f.record.ID, f.dirty, f.openGap = end.pos.String(), seq, end.id, true, ""
	s := &f.stats
	if s.Next = end.pos.Seq; end.last {
		s.Next++
	}
	s.Position, s.At, s.Hub, s.Last, s.Error = end.pos, f.record.Position, seq, time.Now(), ""
	s.Events += uint64(n)
}
