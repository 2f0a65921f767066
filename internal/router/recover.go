package router

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// recover brings the session to where ROUTE's last message left off.
func (s *session) recover(ctx context.Context) error {
	last, err := s.last(ctx)
	if err != nil {
		return err
	}
	if s.behind() {
		return fmt.Errorf("%s ends before what was routed", s.opts.Place.Input())
	}
	unfinished, err := s.rebuild(ctx, last)
	if err != nil {
		return err
	}
	torn, err := s.strike(ctx)
	if err != nil {
		return err
	}
	if err := s.oldPolicy(ctx); err != nil {
		return err
	}
	if unfinished != nil {
		if err := s.letGo(ctx, unfinished.group, unfinished.release, unfinished.from); err != nil {
			return err
		}
	}
	for _, g := range torn {
		if err := s.release(ctx, g, "damage"); err != nil {
			return err
		}
	}
	for _, g := range s.book.Full() {
		if err := s.release(ctx, g, "count"); err != nil {
			return err
		}
	}
	// SPEC 3: the clock was set while no router ran, or this one had no broker.
	if err := s.rebase(ctx, s.book.Moved(s.now)...); err != nil {
		return err
	}
	if err := s.halfDone(ctx); err != nil {
		return err
	}
	s.pos.K = complete
	s.pos = s.pos.Resume(s.incarnations)
	if err := s.renew(ctx); err != nil {
		return err
	}
	s.tellHeld()
	if err := s.settlePosition(ctx); err != nil {
		return err
	}
	if err := s.change(ctx, s.set.Load()); err != nil {
		return err
	}
	s.opts.Log.Info().Str("position", s.pos.String()).Int("held", s.book.Held()).Msg("routing")
	return nil
}

// errBehindRoute: with several replicas, the end of ROUTE is the position, and nothing less.
var errBehindRoute = errors.New("the end of ROUTE cannot be read yet")

// behind: the edge will begin a new incarnation, and has not yet. Who went on
// now would wait at a number that is used again, and skip what is new (DESIGN fact 7).
func (s *session) behind() bool {
	n := len(s.incarnations)
	return n > 0 && s.pos.Incarnation == s.incarnations[n-1].ID && s.pos.Seq > s.end
}

// last reads the last message of ROUTE that a router wrote, which is the position; nil if
// there is none.
func (s *session) last(ctx context.Context) (*jetstream.RawStreamMsg, error) {
	info, err := s.route.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up ROUTE: %w", err)
	}
	state := info.State
	state.LastSeq = s.w.next - 1
	m, p, err := streams.RouteEnd(ctx, s.route, state)
	if err != nil {
		return nil, err
	}
	seq := state.FirstSeq - 1
	if m != nil {
		seq, s.pos = m.Sequence, p
	}
	if seq == s.w.next-1 || state.Msgs == 0 {
		return m, nil
	}
	return m, s.strays(ctx, seq)
}

// strays looks at what stands in ROUTE behind the position: what the router has not written
// is passed over. At a hub it may also be that a server was asked that is behind.
func (s *session) strays(ctx context.Context, behind uint64) error {
	n := 0
	err := streams.Scan(ctx, s.js, streams.Route, streams.From{Seq: behind + 1, Headers: true}, func(m jetstream.Msg) error {
		if s.opts.Place.Hub && ours(m.Headers()) {
			return errBehindRoute
		}
		n++
		return nil
	})
	if err != nil || n == 0 {
		return err
	}
	s.stray = true
	s.opts.Log.Error().Uint64("behind", behind).Int("messages", n).Msg("ROUTE has messages that no router wrote: they are passed over; who may publish there?")
	return nil
}

// ours tells whether a router wrote a message of ROUTE.
func ours(h nats.Header) bool {
	_, err := streams.ParsePosition(h.Get(streams.HeaderPos))
	return err == nil
}

// unfinished is a release that was cut off.
type unfinished struct {
	group   *hold.Group
	release uint64
	from    int // the first item that is not in the queue
}

// rebuild reads what is held. Only the last release can be unfinished: nothing
// else is written before it is complete.
func (s *session) rebuild(ctx context.Context, last *jetstream.RawStreamMsg) (*unfinished, error) {
	var cut *unfinished
	release, from := releaseOf(last)
	s.now = s.opts.Now()
	s.watch.Look(s.now)
	subjects := []string{"rt.held.>", "rt.release.>", "rt.rebase.>"}
	err := streams.Scan(ctx, s.js, streams.Route, streams.From{Subjects: subjects, Headers: true}, func(m jetstream.Msg) error {
		_, kind, key := splitSubject(m.Subject())
		h, seq := m.Headers(), streams.Seq(m)
		if !ours(h) {
			return nil // told, or will be: not written by a router
		}
		switch kind {
		case "held":
			return s.reheld(hold.Key(key), h, seq)
		case "rebase":
			base, err := time.Parse(time.RFC3339Nano, h.Get(streams.HeaderBase))
			if err != nil {
				return fmt.Errorf("message %d of ROUTE: %w", seq, err)
			}
			s.book.Rebase(hold.Key(key), base, s.now)
		case "release":
			g := s.book.Take(hold.Key(key))
			if g != nil && seq == release && from < len(g.Items) {
				cut = &unfinished{g, release, from}
				return nil
			}
			s.settle(hold.Key(key), seq)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rebuild what is held: %w", err)
	}
	return cut, nil
}

func splitSubject(subject string) (rt, kind, key string) {
	f := strings.SplitN(subject, ".", 3)
	if len(f) < 3 {
		return subject, "", ""
	}
	return f[0], f[1], f[2]
}

// releaseOf tells which release ROUTE's last message belongs to, and how many
// of its events are out.
func releaseOf(last *jetstream.RawStreamMsg) (release uint64, out int) {
	if last == nil {
		return 0, 0
	}
	if strings.HasPrefix(last.Subject, "rt.release.") {
		return last.Sequence, 0
	}
	seq, ordinal, ok := strings.Cut(last.Header.Get(streams.HeaderRelease), ".")
	if !ok {
		return 0, 0
	}
	release, err1 := strconv.ParseUint(seq, 10, 64)
	n, err2 := strconv.Atoi(ordinal)
	if err1 != nil || err2 != nil {
		return 0, 0
	}
	return release, n + 1
}

func (s *session) reheld(key hold.Key, h nats.Header, seq uint64) error {
	e, err := event.FromHeader(event.Header(h), nil)
	if err != nil {
		return fmt.Errorf("message %d of ROUTE: %w", seq, err)
	}
	terms := hold.Terms{Sink: h.Get(streams.HeaderSink), Terminal: e.Terminal, Rule: e.Rule, Lane: e.Lane}
	var timeout int
	if _, err := fmt.Sscanf(h.Get(streams.HeaderHold), "%d.%d", &terms.Count, &timeout); err != nil {
		return fmt.Errorf("message %d of ROUTE, header %s: %w", seq, streams.HeaderHold, err)
	}
	terms.Timeout = time.Duration(timeout) * time.Second
	terms.TTL, _ = strconv.Atoi(h.Get(streams.HeaderTTL)) // absent = 0 = for ever
	s.book.Add(key, terms, hold.Item{Seq: seq, ID: e.ID}, s.now)
	return nil
}

// oldPolicy puts the rules of the last session in force, until the input that
// they had begun is complete.
func (s *session) oldPolicy(ctx context.Context) error {
	m, err := s.route.GetLastMsgForSubject(ctx, streams.Rules)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the rules in ROUTE: %w", err)
	}
	parse := func(file string, data []byte) (*rules.Set, error) { return rules.Parse(file, data) }
	if s.policy, err = parsePolicy(m.Data, parse); err != nil {
		s.opts.Log.Warn().Err(err).Msg("the rules of the last session cannot be read, the file's count")
		s.policy = policy{}
	}
	return nil
}

// halfDone completes the event whose outputs were cut off, under the rules under
// which they began.
func (s *session) halfDone(ctx context.Context) error {
	if s.pos.Seq == 0 || s.policy.set == nil || s.pos.Resume(s.incarnations) != s.pos {
		return nil
	}
	m, err := streams.At(ctx, s.js, s.opts.Place.Input(), s.pos.Seq)
	if err != nil {
		return fmt.Errorf("read message %d of %s: %w", s.pos.Seq, s.opts.Place.Input(), err)
	}
	if m == nil {
		return nil // removed since: its outputs were complete
	}
	in := s.parseInput(m)
	if in.err != nil || s.pos.Index >= len(in.events) {
		return nil // told when it is read again
	}
	return s.event(ctx, s.pos.Seq, s.pos.Index, in.events[s.pos.Index])
}

// settlePosition writes the position where ROUTE's end does not tell it: behind what is the
// hub's, so that nobody waits for that to be routed here, and behind strays.
func (s *session) settlePosition(ctx context.Context) error {
	write := s.stray
	if p := s.skip(); p != s.pos {
		s.pos, write = p, true
	}
	if !write {
		return nil
	}
	_, err := s.w.put(ctx, s.newMsg(streams.Pos))
	return err
}

// skip is the position behind what follows and is routed at the hub.
func (s *session) skip() streams.Position {
	p := s.pos
	for i, at := range s.stretches[:max(len(s.stretches), 1)-1] {
		end := s.stretches[i+1].Seq - 1
		if at.Hub && p.Covers(at.Seq, at.Index-1, 0) && p.Seq <= end {
			p = streams.Position{Incarnation: streams.IncarnationAt(s.incarnations, end), Seq: end, Index: complete, K: complete}
		}
	}
	return p
}
