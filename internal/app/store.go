package app

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker"
	"vestnik/internal/control"
	"vestnik/internal/forward"
	"vestnik/internal/guard"
	"vestnik/internal/journal"
	"vestnik/internal/keeper"
)

// store is one life of what stands behind the terminal port: it is closed and
// opened again in the process when the disk has failed it.
type store struct {
	*edge
	broker  *broker.Server
	nc      *nats.Conn
	js      jetstream.JetStream
	journal *journal.Journal
	damage  *damage // what is known of it
	guard   *guard.Guard
	link    *nats.Conn // to the hub, nil = there is none
	forward *forward.Forwarder
	alone   *keeper.Alone      // nil = a router keeps
	door    *control.Door      // of commands
	stopped context.CancelFunc // of the journal
	written chan error         // the journal has ended
}

// openStore starts the server, makes EVENTS, and opens the intake. after is the
// closed one of the life before, nil at the process's start.
func (e *edge) openStore(ctx context.Context, after *broker.Server) (_ *store, err error) {
	s := &store{edge: e}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.broker, err = broker.Start(broker.Options{File: e.cfg.Server, Dir: filepath.Join(filepath.Dir(e.cfg.File), "data"),
		Log: e.log.With().Str("part", "nats").Logger(), Before: s.lookForDamage, After: after})
	if err != nil {
		return nil, err
	}
	if s.nc, err = s.broker.Connect("edge"); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		return nil, startErr("edge", err)
	}
	// Others wait for EVENTS: what they need is there before.
	if s.guard, err = guard.Open(s.nc, s.js, s.log.With().Str("part", "guard").Logger()); err != nil {
		return nil, err
	}
	if err := control.Prepare(ctx, s.js); err != nil {
		return nil, err
	}
	s.preparePolling(ctx)
	for _, step := range []func(context.Context) error{s.events, s.routedFrom, s.openForward, s.askRenewal, s.beginNotes} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	paused, err := control.ReadPauses(ctx, s.js)
	if err != nil {
		return nil, err
	}
	e.server.SetPaused(paused.Intake())
	e.commands.paused.Store(paused.All != nil)
	if err := s.openCommands(ctx); err != nil {
		return nil, err
	}
	if after == nil {
		e.server.Recall(s.lastSeen(ctx))
	}
	s.openAlone()
	s.record()
	return s, nil
}

// record starts the journal and opens the intake and the line.
func (s *store) record() {
	s.feeds.doubt() // EVENTS may hold what the journal before did not hand on
	s.journal = journal.New(s.js, journal.Options{Committed: s.damage.committed(s.feeds.committed()), Observe: s.meters.commit})
	var recording context.Context
	recording, s.stopped = context.WithCancel(context.Background())
	s.written = make(chan error, 1)
	go func() { s.written <- s.journal.Run(recording) }()
	s.line.server.Store(s.broker)
	s.intake.set(s.journal, nil)
}

// run serves until ctx ends, or until the store is frozen and its disk is well
// again: then it returns true.
func (s *store) run(ctx context.Context) bool {
	defer s.board.Join(s.health())()
	err := together(ctx, s.pauses, s.tell, s.tellDamage, s.keepNotes, s.gate, s.guard.Run, s.control, s.door.Run, s.keepRecord, s.twins, s.forwarding, s.watch, s.keepAlone)
	if errors.Is(err, errWritable) {
		return true
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error().Err(err).Msg("the store is opened again")
		return true
	}
	return false
}

// close ends in the reverse order of openStore.
func (s *store) close() {
	if s.door != nil {
		s.door.Close()
	}
	if s.stopped != nil {
		s.line.server.Store(nil)
		if !s.intake.shut() {
			s.intake.set(nil, nil) // events wait for the next life
		}
		s.stopped()
		<-s.written
	}
	s.commands.journal.Close()
	if s.link != nil {
		s.link.Close()
	}
	if s.nc != nil {
		s.nc.Close()
	}
	if s.broker != nil {
		s.broker.Close()
		frozen, _ := s.disk.Frozen()
		s.damage.close(frozen.IsZero(), s.log)
	}
}
