package poll

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// outage is a monitoring system that does not answer as it should. Pure: the caller has
// the clock and the dice.
type outage struct {
	backoff  sink.Backoff
	failures int // in a row, 0 = no outage
	since    clock.Moment
	err      string
	until    time.Duration // no attempt before, by clock.Moment's Run
}

// failed notes a failure; it tells whether it is another than the last one.
func (o *outage) failed(err error, now clock.Moment, jitter float64) (changed bool) {
	if o.failures++; o.failures == 1 {
		o.since = now
	}
	changed = o.failures == 1 || o.err != err.Error()
	o.err = err.Error()
	o.until = now.Run + max(o.backoff.Next(o.failures, jitter), sink.RetryAfter(err))
	return changed
}

// over ends the outage; it tells whether there was one.
func (o *outage) over() (was bool) {
	was = o.failures > 0
	*o = outage{backoff: o.backoff}
	return was
}

// letter is what posting knows of one result.
type letter struct {
	tries   int
	refusal int           // refusals of this result
	at      time.Duration // of the last try
	next    time.Duration // not before, after a refusal
}

// postbox decides which result is posted next. Pure.
//
// While all goes well they go in order. A result that was refused (4xx) is tried again
// by the slow schedule, the others go on. In an outage one attempt at a time is made by
// the growing schedule, each with the result that was tried least recently; a result
// that was never tried goes soon: so one result that makes the other side fail, be it
// with a 500, does not hold up the others for long.
type postbox struct {
	outage
	aside sink.Backoff
	last  time.Duration // failure of the outage
	asked time.Duration // Retry-After: not before
}

// due is when a result may be tried.
func (p *postbox) due(l *letter) time.Duration {
	at := l.next
	switch {
	case p.failures == 0:
	case l.tries == 0:
		at = max(at, p.last+p.backoff.Next(1, 0), p.asked)
	default:
		at = max(at, p.until)
	}
	return at
}

// pick is the result to post now, or how long until one is due; -1 = there is none.
func (p *postbox) pick(results []*item, now time.Duration) (it *item, pause time.Duration) {
	pause = -1
	for _, one := range results {
		left := p.due(&one.letter) - now
		switch {
		case left > 0 && (pause < 0 || left < pause):
			pause = left
		case left <= 0 && (it == nil || p.failures > 0 && one.letter.before(&it.letter)):
			it = one
		}
	}
	if it != nil {
		pause = 0
	}
	return it, pause
}

// before: in an outage the one that was never tried, then the least recently tried.
func (l *letter) before(m *letter) bool {
	if l.tries == 0 || m.tries == 0 {
		return m.tries > 0
	}
	return l.at < m.at
}

// done notes how an attempt ended. It tells whether an outage ended, or to say that
// something has changed.
func (p *postbox) done(l *letter, err error, now clock.Moment, jitter float64) (over, changed bool) {
	l.tries++
	l.at = now.Run
	switch {
	case err == nil:
		return p.over(), false
	case sink.IsRejected(err):
		l.refusal++
		l.next = now.Run + p.aside.Next(l.refusal, jitter)
		return p.over(), true
	}
	p.last = now.Run
	if after := sink.RetryAfter(err); after > 0 {
		p.asked = now.Run + after
	}
	return false, p.failed(err, now, jitter)
}

// hope: the other side answers polls again, so the next attempt is now.
func (p *postbox) hope() { p.until, p.asked = 0, 0 }

// post posts results until ctx ends; then it waits for the one that is under way.
func (l *line) post(ctx context.Context) error {
	for {
		if _, err := l.gate.pass(ctx); err != nil {
			return err
		}
		it, pause := l.nextResult()
		if it == nil {
			wait(ctx, pause, l.book.posting)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		if err := l.postOne(ctx, it); err != nil {
			return err
		}
	}
}

// postOne posts a result. Our own stop lets it end, for it would go twice; the loss of
// the connection does not: the post could not be recorded.
func (l *line) postOne(ctx context.Context, it *item) error {
	request, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	lost := func() bool { return errors.Is(context.Cause(ctx), streams.ErrConnectionLost) }
	defer context.AfterFunc(ctx, func() {
		if lost() {
			cancel()
		}
	})()
	err := l.client.post(request, l.terminal, it.Result)
	if lost() {
		return context.Cause(ctx)
	}
	l.tellPosted(it, err)
	if err != nil {
		return nil
	}
	record, stop := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
	defer stop()
	return l.book.settled(record, it)
}

func (l *line) nextResult() (*item, time.Duration) {
	l.told.Lock()
	defer l.told.Unlock()
	l.book.mu.Lock()
	defer l.book.mu.Unlock()
	return l.mail.pick(l.book.results, l.opts.Now().Run)
}

// tellPosted notes an attempt, and logs what has changed.
func (l *line) tellPosted(it *item, err error) {
	now := l.opts.Now()
	l.told.Lock()
	since := l.mail.since
	over, changed := l.mail.done(&it.letter, err, now, rand.Float64())
	tries, next := it.letter.tries, it.letter.next-now.Run
	l.told.Unlock()
	log := l.log.With().Str("id", idText(it.ID)).Str("command", it.Name).Int("attempt", tries).Logger()
	switch {
	case err == nil:
		l.counts.posted.Add(1)
		log.Debug().Msg("result posted")
	case sink.IsRejected(err):
		l.counts.refused.Add(1)
		log.Warn().Err(err).Dur("pause", next).Msg("result refused, tried again later")
	default:
		l.counts.postsFailed.Add(1)
		if changed {
			log.Warn().Err(err).Msg("results cannot be posted, tried again")
		}
	}
	if over {
		l.log.Info().Dur("outage_ms", now.Run-since.Run).Msg("results are posted again")
	}
}
