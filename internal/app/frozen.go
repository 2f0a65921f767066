package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"vestnik/internal/broker"
	"vestnik/internal/code"
	"vestnik/streams"
)

const (
	watchEvery  = 250 * time.Millisecond // looks at the server
	silentLimit = 2                      // commits without an answer that are a frozen store, whatever the server says
	minProbe    = time.Second            // between two probes of the disk
	maxProbe    = 5 * time.Second
	steady      = time.Minute // a store that lived so long begins with the shortest pause again
)

// errWritable ends a life of the store: it is frozen, and the disk is well again.
var errWritable = errors.New("the store is frozen and its disk can be written")

// keepStore runs one life of the store after the other until ctx ends. A store
// that froze is opened again when the disk can be written, with no person.
func (e *edge) keepStore(ctx context.Context, s *store) {
	pause := minProbe
	for {
		began := time.Now()
		again := s.run(ctx)
		s.close()
		if !again || ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			pause = minProbe
		}
		if s = e.reopenStore(ctx, s.broker, &pause); s == nil {
			return
		}
	}
}

// reopenStore tries until the store is open; nil = ctx has ended. The pause grows
// from try to try, and from one short life to the next.
func (e *edge) reopenStore(ctx context.Context, after *broker.Server, pause *time.Duration) *store {
	for ctx.Err() == nil {
		err := broker.Probe(after.Dir)
		if err == nil {
			var s *store
			if s, err = e.openStore(ctx, after); err == nil {
				e.thawed(s)
				return s
			}
		}
		if ctx.Err() != nil {
			break
		}
		e.freeze(err.Error())
		e.log.Error().Err(err).Dur("pause", *pause).Msg("the store cannot be opened yet")
		wait(ctx, *pause)
		*pause = min(*pause*3/2, maxProbe)
	}
	return nil
}

// freeze refuses events from now on.
func (e *edge) freeze(reason string) {
	e.disk.freeze(reason)
	e.intake.set(nil, code.New(code.NotStored, "the store is frozen: "+reason))
}

// thawed tells of it: in the log, and by an event of the edge's own (SPEC 4).
func (e *edge) thawed(s *store) {
	since := e.disk.thaw()
	if since.IsZero() { // opened again for another reason
		return
	}
	e.log.Warn().Time("since", since).Dur("frozen", time.Since(since)).Msg("the store takes events again")
	s.untold = append(s.untold, fmt.Sprintf("Хранилище событий не принимало записи с %s до %s: диск переполнен или неисправен",
		since.Local().Format(time.DateTime), time.Now().Local().Format(time.DateTime)))
}

// watch returns errWritable when the store has frozen and can be opened again.
func (s *store) watch(ctx context.Context) error {
	for {
		if _, err := s.frozen(); err != nil {
			s.log.Error().Err(err).Msg("store frozen until the disk can be written")
			return s.awaitDisk(ctx)
		}
		if !wait(ctx, watchEvery) {
			return nil
		}
	}
}

// frozen says why the store takes no writes, nil if it does, and whether EVENTS is
// among what takes none.
func (s *store) frozen() (events bool, why error) {
	if n := s.journal.Silent(); n >= silentLimit {
		return true, fmt.Errorf("%s has not answered %d times", streams.Events, n)
	}
	list, why := s.broker.Frozen()
	return slices.Contains(list, streams.Events) || slices.Contains(list, broker.All), why
}

// awaitDisk probes until the disk can be written. Meanwhile the server stays:
// what is stored can be read and delivered, status tells how it is, and events are
// taken as long as EVENTS itself takes them.
func (s *store) awaitDisk(ctx context.Context) error {
	for pause := minProbe; ; pause = min(pause*3/2, maxProbe) {
		if events, why := s.frozen(); events {
			s.freeze(why.Error())
			s.journal.Break()
		} else if why != nil {
			s.disk.freeze(why.Error())
		}
		err := broker.Probe(s.broker.Dir)
		if err == nil {
			return errWritable
		}
		s.log.Debug().Err(err).Dur("pause", pause).Msg("the disk cannot be written yet")
		if !wait(ctx, pause) {
			return nil
		}
	}
}

// wait tells whether the time has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
