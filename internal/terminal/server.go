package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// A Recorder puts events on the disk. Record returns nil when e is there and a
// power cut loses it no more. A *code.Error decides the answer's code, any
// other error is code 6. It is called from many goroutines at once.
type Recorder interface {
	Record(ctx context.Context, e *event.Event) error
}

// Server is the port. Make it with New.
type Server struct {
	opts   Options
	limits proatm.Limits
	rec    Recorder
	log    zerolog.Logger
	bad    zerolog.Logger // as log, but no more than some lines per second
	known  map[[frame.SignatureSize]byte]signature
	conns  *registry
	paused atomic.Bool
	full   atomic.Pointer[code.Error]
	count  counters

	commands context.Context // of those that run, set by Serve

	refusals rate.Sometimes // logs of refused addresses
	failures rate.Sometimes // logs of failed accepts
}

// A signature that is known, with the frame that answers a stored event.
type signature struct {
	name string
	done []byte
}

// New makes a port whose events go to rec; opts must have passed Validate.
// Nothing is started.
func New(opts Options, rec Recorder) *Server {
	opts = opts.withDefaults()
	if opts.DedupWindow > 0 {
		rec = newDedup(rec, opts.DedupWindow, opts.Now)
	}
	s := &Server{
		opts:     opts,
		limits:   proatm.Limits{Depth: opts.XMLDepth, Attributes: opts.XMLAttributes},
		rec:      rec,
		log:      opts.Log,
		bad:      opts.Log.Sample(&zerolog.BurstSampler{Burst: 50, Period: time.Second}),
		known:    map[[frame.SignatureSize]byte]signature{},
		conns:    newRegistry(affordable(opts.MaxConnections, openFiles())),
		refusals: rate.Sometimes{First: 1, Interval: 10 * time.Second},
		failures: rate.Sometimes{First: 1, Interval: 10 * time.Second},
	}
	for _, name := range opts.Signatures {
		s.known[[frame.SignatureSize]byte([]byte(name))] = signature{name, s.frame(name, proatm.Result(code.OK, ""))}
	}
	return s
}

// frame makes an answer; a body that does not fit becomes code 108.
func (s *Server) frame(name string, body []byte) []byte {
	b, err := frame.Append(make([]byte, 0, frame.HeaderSize+len(body)), s.opts.Order, name, body)
	if errors.Is(err, frame.ErrTooLarge) {
		return s.frame(name, proatm.Result(code.AnswerTooLong, ""))
	}
	return b
}

// SetPaused switches the pause of intake: while it is on, events are answered
// with code 7 (SPEC 4).
func (s *Server) SetPaused(on bool) { s.paused.Store(on) }

// Paused tells whether intake is paused.
func (s *Server) Paused() bool { return s.paused.Load() }

// SetFull says that the store is full and what events are answered with until
// SetFull(nil) (SPEC 4).
func (s *Server) SetFull(why *code.Error) { s.full.Store(why) }

// Full is what SetFull said last, nil if there is room.
func (s *Server) Full() *code.Error { return s.full.Load() }

// Serve takes connections from its ports until ctx ends or one of them is closed,
// and returns when the last connection is done: after ctx has ended, answers owed
// are given within StopTimeout, of which the last fifth is for those whose Recorder
// had to be told to give up. Serve closes the ports. Call it once.
func (s *Server) Serve(ctx context.Context, ports ...net.Listener) error {
	if limit := s.conns.limit; limit < s.opts.MaxConnections {
		s.log.Warn().Int("max_connections", s.opts.MaxConnections).Int("limit", limit).Int("open_files", openFiles()).
			Msg("fewer connections than configured: half of the files that the process may open are for the store and the sinks")
	}
	owed, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	commands, stopCommands := context.WithCancel(owed)
	defer stopCommands()
	s.commands = commands
	var wg sync.WaitGroup
	err := s.acceptFrom(ctx, owed, ports, &wg)

	slow := time.AfterFunc(CommandGrace, stopCommands)
	defer slow.Stop()
	s.conns.stop(newcomer)
	late := time.AfterFunc(newcomer, func() { s.conns.stop(0) })
	defer late.Stop()
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	last := s.opts.StopTimeout / 5 // for those whose Recorder has been told to give up
	if !closedWithin(done, s.opts.StopTimeout-last) {
		cut()
		if !closedWithin(done, last) {
			s.log.Warn().Int("connections", s.conns.closeAll()).Msg("terminal port: answers still owed at the end")
		}
	}
	<-done
	return err
}

// CommandGrace is how long commands that run may take when the edge stops or changes over:
// behind that their outcome is unknown (code 109), for events wait for the next life.
const CommandGrace = time.Second

// newcomer is for how long a connection may have been there without a frame when the
// port stops, and for how long it then may still send it: the edge that changes over to
// another configuration leaves nobody without an answer.
const newcomer = 100 * time.Millisecond

func closedWithin(done <-chan struct{}, d time.Duration) bool {
	limit := time.NewTimer(d)
	defer limit.Stop()
	select {
	case <-done:
		return true
	case <-limit.C:
		return false
	}
}

// acceptFrom serves all ports until the first of them ends.
func (s *Server) acceptFrom(ctx, owed context.Context, ports []net.Listener, wg *sync.WaitGroup) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(ports))
	var accepting sync.WaitGroup
	for i, ln := range ports {
		accepting.Go(func() {
			defer stop()
			errs[i] = s.acceptAll(ctx, owed, ln, wg)
		})
	}
	accepting.Wait()
	return errors.Join(errs...)
}

// acceptAll starts a goroutine per connection. It returns nil when the port
// was closed, as it is when ctx ends.
func (s *Server) acceptAll(ctx, owed context.Context, ln net.Listener, wg *sync.WaitGroup) error {
	over, stop := context.WithCancel(ctx)
	var closer sync.WaitGroup
	closer.Go(func() { <-over.Done(); _ = ln.Close() })
	defer closer.Wait()
	defer stop()

	for failures := 0; ; {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			failures = 0
			s.admit(owed, nc, wg)
		case errors.Is(err, net.ErrClosed), ctx.Err() != nil:
			return nil
		default:
			if failures++; failures > maxAcceptFailures && !shortage(err) {
				return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
			}
			s.acceptFailed(ctx, err, failures)
		}
	}
}

// Failures in a row, about a minute of them, that end the port: the listener is
// broken. To run out of files or memory for a while is none of these.
const maxAcceptFailures = 240

// acceptFailed makes room (files may have run out) and pauses before the next try:
// not for long, since those who wait to be accepted may be good terminals.
func (s *Server) acceptFailed(ctx context.Context, err error, failures int) {
	displaced := s.conns.makeRoom()
	s.failures.Do(func() {
		s.log.Error().Err(err).Bool("displaced", displaced).Msg("terminal port: accept failed")
	})
	wait := min(time.Millisecond<<min(failures, 8), 250*time.Millisecond)
	if displaced {
		s.count.displaced.Add(1)
		wait = time.Millisecond
	}
	pause := time.NewTimer(wait)
	defer pause.Stop()
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

// admit starts serving a connection, if it may connect.
func (s *Server) admit(ctx context.Context, nc net.Conn, wg *sync.WaitGroup) {
	c := &conn{Conn: nc, server: s}
	if t, ok := nc.(*tls.Conn); ok { // its rights are known after the handshake
		c.secure = t
	} else if c.from = s.opts.plain(nc.RemoteAddr()); !c.from.Events() {
		s.count.refused.Add(1)
		s.refusals.Do(func() {
			s.log.Warn().Stringer("remote", nc.RemoteAddr()).Msg("connection refused: neither loopback nor in allow_plain_events")
		})
		_ = nc.Close()
		return
	}
	if !s.enter(ctx, c) {
		c.cut()
		return
	}
	s.count.accepted.Add(1)
	wg.Go(func() { c.serve(ctx) })
}

// enter gives a connection its place, and waits for it if need be. False = the
// port is stopping.
func (s *Server) enter(ctx context.Context, c *conn) bool {
	for {
		ok, displaced, wait := s.conns.add(c)
		s.told(displaced)
		if !ok || wait <= 0 {
			return ok
		}
		limit := time.NewTimer(wait)
		select {
		case <-s.conns.freed:
		case <-limit.C:
		case <-ctx.Done():
		}
		limit.Stop()
	}
}

// told counts and logs the displaced.
func (s *Server) told(displaced int) {
	if displaced > 0 {
		s.count.displaced.Add(int64(displaced))
		s.bad.Warn().Int("limit", s.conns.limit).Msg("connection limit reached: the oldest waiting one was displaced")
	}
}
