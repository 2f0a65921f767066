package poll

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"vestnik/internal/sink"
)

// Pace is how soon a poll follows the one before.
type Pace struct {
	Empty time.Duration // from start to start where nothing came; default 1 s: the other side may not wait for commands
	Least time.Duration // from start to start in any case; default 100 ms
	// Known is the pause after a list with nothing new: the monitoring system repeats
	// commands until it has their results. Default 1 s to 30 s.
	Known sink.Backoff
}

// found is what a poll brought.
type found int

const (
	nothing found = iota
	onlyKnown
	something
)

// next is when to poll again, after a poll that began so long ago and the idle-th list
// in a row without anything new.
func (p Pace) next(f found, idle int, took time.Duration, jitter float64) time.Duration {
	switch f {
	case nothing:
		return max(p.Empty-took, 0)
	case onlyKnown:
		return max(p.Known.Next(idle, jitter), p.Least-took)
	}
	return max(p.Least-took, 0)
}

// poll asks for commands until ctx ends, and journals what comes.
func (l *line) poll(ctx context.Context) error {
	for {
		if _, err := l.gate.pass(ctx); err != nil {
			return err
		}
		if l.off.Load() {
			wait(ctx, -1, l.on)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		if left := time.Duration(l.barred.Load()) - l.opts.Now().Run; left > 0 {
			wait(ctx, left, l.gate.shutting())
			continue
		}
		if !l.book.room() {
			wait(ctx, l.opts.Pace.Known.Min, l.book.freed)
			continue
		}
		began := l.opts.Now()
		f, err := l.fetch(ctx, began.Run)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch took := l.opts.Now().Run - began.Run; {
		case errors.Is(err, errJournal):
			return err
		case errors.Is(err, errPaused):
		case err != nil:
			l.pollFailed(ctx, err)
		default:
			l.pollWorks()
			l.rest(ctx, f, took)
		}
	}
}

var (
	errJournal = errors.New("a polled command cannot be recorded")
	errPaused  = errors.New("paused")
)

// rest waits until the next poll. When a result is posted the list has become
// shorter, and the next poll may wait at the other side again.
func (l *line) rest(ctx context.Context, f found, took time.Duration) {
	if f == onlyKnown {
		l.idle++
	} else {
		l.idle = 0
	}
	pause := l.opts.Pace.next(f, l.idle, took, rand.Float64())
	if f != onlyKnown {
		wait(ctx, pause, nil)
		return
	}
	least := max(l.opts.Pace.Least-took, 0)
	wait(ctx, least, nil)
	wait(ctx, pause-least, l.book.freed)
}

// fetch is one poll. Who pauses does not wait for its end.
func (l *line) fetch(ctx context.Context, began time.Duration) (found, error) {
	open, stop := l.gate.during(ctx)
	defer stop()
	select {
	case l.slots <- struct{}{}:
	case <-open.Done():
		return nothing, errPaused
	}
	select { // what was posted before is of no interest any more
	case <-l.book.freed:
	default:
	}
	body, err := l.client.poll(open, l.terminal)
	<-l.slots
	l.counts.polls.Add(1)
	switch {
	case open.Err() != nil:
		return nothing, errPaused
	case err != nil:
		return nothing, err
	case body == nil:
		return nothing, nil
	}
	list, skipped, err := parseList(body)
	if err != nil {
		return nothing, err
	}
	l.tellSkipped(skipped)
	fresh, err := l.book.take(ctx, list, began)
	switch {
	case err != nil:
		return nothing, errors.Join(errJournal, err)
	case fresh > 0:
		return something, nil
	case len(list)+len(skipped) > 0:
		return onlyKnown, nil
	}
	return nothing, nil
}

// tellSkipped logs what cannot even be answered, once and not with each poll.
func (l *line) tellSkipped(skipped []string) {
	text := strings.Join(skipped[:min(len(skipped), 5)], "; ")
	if text != "" && text != l.skipped {
		l.log.Error().Int("commands", len(skipped)).Str("error", text).
			Msg("the monitoring system gives commands that can neither be executed nor answered: each needs an id, a string or a number")
	}
	l.skipped = text
}

func (l *line) pollFailed(ctx context.Context, err error) {
	l.counts.pollsFailed.Add(1)
	l.told.Lock()
	changed := l.out.failed(err, l.opts.Now(), rand.Float64())
	pause := l.out.until - l.opts.Now().Run
	l.told.Unlock()
	if changed {
		l.log.Warn().Err(err).Dur("pause", pause).Msg("commands cannot be polled, tried again")
	}
	wait(ctx, pause, l.gate.shutting())
}

// pollWorks ends the outage; results that waited for its end go at once.
func (l *line) pollWorks() {
	l.told.Lock()
	since, was := l.out.since, l.out.over()
	if was {
		l.mail.hope()
	}
	l.told.Unlock()
	if was {
		l.log.Info().Dur("outage_ms", l.opts.Now().Run-since.Run).Msg("commands are polled again")
		nudge(l.book.posting)
	}
}
