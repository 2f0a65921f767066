// Package forward sends every event of EVENTS to the hub (SPEC 10): untouched by rules, also
// those stored while the link was down, each once and in the terminal's order.
//
// The hub is the truth. Of each life of EVENTS' numbering (streams.Life) EVT has a true
// prefix, for each batch is stored whole or not at all, and only behind the event that it
// follows: the first message of a batch is guarded by the sequence of the last one of that
// life. So a batch may be sent again at any time, and is, after a refusal, a silence or a
// lost link: first the forwarder asks what the hub has, and goes on from there.
//
// Its own record (streams.Forwarded) lags behind: the keeper removes nothing beyond it, and
// it tells where to go on when the hub has no event of this edge any more (docs/adr/0033).
package forward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Options of a Forwarder.
type Options struct {
	ATM   string
	Link  *nats.Conn          // in the account of the leaf link, with inboxes below Inbox(ATM)
	JS    jetstream.JetStream // of the edge's own store
	Links func() int          // links to a hub that are up
	Why   func() string       // if set: why no link is up, as far as it is known
	// Report tells the monitoring systems of a finding, by an event of the edge's own (SPEC 4).
	// nil error = it is stored.
	Report func(ctx context.Context, text string) error
	// Other, if set, is told when another edge with this number is seen to send to the hub,
	// and with nil when it is seen no more. It is called by Run's goroutine.
	Other func(*Other)
	Log   zerolog.Logger
}

// Inbox is the prefix of a terminal's inboxes on its link: it may listen to no other.
func Inbox(atm string) string { return "_INBOX." + streams.Terminal(atm) }

// Forwarder is made by New; then Run. There must be one.
type Forwarder struct {
	opts   Options
	window window
	link   *link

	// Of the goroutine of Run:
	line   *line
	lives  []streams.Life
	buf    *buffer
	done   streams.Position // the last event dropped from buf
	reader *reading
	late   []*batch  // those whose answer has not come in time
	silent time.Time // since when it has been asked in vain, zero = it has answered
	last   *found    // the last event at the hub, as far as is known; nil = nothing is

	other     sight // another edge's life at the hub
	toldOther *Other
	looked    time.Time     // when others were looked for
	every     time.Duration // between two such looks
	keepEvery time.Duration // between two writes of the record
	begun     bool          // it was told that events are forwarded

	writing sync.Mutex // of the record
	mu      sync.Mutex
	record  streams.Forwarded
	dirty   bool   // the record is not written yet
	known   bool   // there is a record
	openGap string // the finding of a gap that may still grow: nothing behind it is at the hub yet
	stats   Stats
}

// Stats are what became of forwarding since the program started.
type Stats struct {
	Linked   bool             `json:"linked"`
	Position streams.Position `json:"-"` // the last event at the hub
	Next     uint64           `json:"-"` // the first message of EVENTS that is not wholly there
	At       string           `json:"position"`
	Hub      uint64           `json:"hub_sequence"`
	Events   uint64           `json:"events"`
	Batches  uint64           `json:"batches"`
	Refusals uint64           `json:"refusals"` // and answers that did not come
	Last     time.Time        `json:"last,omitzero"`
	Error    string           `json:"error,omitempty"` // why nothing goes now
	Since    time.Time        `json:"since,omitzero"`  // of the error
}

// New makes a forwarder.
func New(o Options) *Forwarder {
	return &Forwarder{opts: o, window: newWindow(), every: lookOthers, keepEvery: recordEvery, link: &link{up: o.Links, changed: make(chan struct{}, 1)}}
}

// Run forwards until ctx ends.
func (f *Forwarder) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	inner, cancel := context.WithCancel(ctx)
	wg.Go(func() { f.link.watch(inner) })
	wg.Go(func() { f.keep(inner) })
	defer wg.Wait()
	defer cancel()
	pause := backoff{}
	for ctx.Err() == nil {
		if !f.link.await(ctx, func() { f.failed(errNoLink) }) {
			break
		}
		before := f.Stats().Events
		err := f.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errLook) {
			continue
		}
		if f.Stats().Events > before {
			pause = backoff{}
		}
		f.failed(err)
		f.link.pause(ctx, pause.next(err))
	}
	f.stop()
	return nil
}

var (
	errNoLink = errors.New("no link to the hub")
	errLink   = errors.New("the link to the hub has changed")
	errLook   = errors.New("it is time to look what the hub has")
	errBehind = errors.New("a server of the hub lags behind the others")
)

// session asks where the hub is, and goes on from there until something is wrong.
func (f *Forwarder) session(ctx context.Context) error {
	if f.line == nil {
		var err error
		if f.line, err = openLine(f.opts.Link); err != nil {
			return err
		}
	}
	if f.link.fresh() {
		f.window.again()
		f.silent = time.Time{}
	}
	p, err := f.place(ctx)
	if err != nil {
		return err
	}
	if err := f.read(ctx, p); err != nil {
		return err
	}
	return f.pump(ctx, &p)
}

func (f *Forwarder) stop() {
	f.unread()
	if f.line != nil {
		f.line.close()
	}
}

// place finds out where to go on.
func (f *Forwarder) place(ctx context.Context) (place, error) {
	s, err := f.situation(ctx)
	if err != nil {
		return place{}, err
	}
	p := where(s)
	if p.anew {
		f.opts.Log.Warn().Uint64("end", s.end).Uint64("recorded", s.record.Hub).Msg("the hub has a new EVT: all that EVENTS has is forwarded")
	}
	if p.gap != nil {
		key := fmt.Sprintf("gap %d", p.gap.from)
		f.setGap(key)
		if err := f.find(ctx, key, gapText(*p.gap)); err != nil {
			return p, err
		}
	}
	if err := f.others(ctx, s); err != nil {
		return p, err
	}
	if p.fork {
		return f.fork(ctx, p, s)
	}
	return p, nil
}

// setGap notes the gap that is open, "" = none.
func (f *Forwarder) setGap(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.openGap = key
}

// situation asks the hub, and the own store.
func (f *Forwarder) situation(ctx context.Context) (situation, error) {
	var s situation
	if err := f.renumbered(ctx); err != nil {
		return s, err
	}
	events, err := f.opts.JS.Stream(ctx, streams.Events)
	if err != nil {
		return s, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := events.CachedInfo()
	s.lives, s.first, s.born = streams.Lives(info.Config.Metadata), max(info.State.FirstSeq, 1), info.Created
	if info.State.Msgs == 0 {
		s.first = info.State.LastSeq + 1
	}
	if len(s.lives) == 0 {
		return s, errors.New("EVENTS has no incarnation")
	}
	if s.record, err = f.recorded(ctx); err != nil {
		return s, err
	}
	mine := max(0, s.place(s.record.Life)) // those before it were forwarded under another number
	for i := len(s.lives) - 1; i >= mine && s.hub == nil; i-- {
		if s.hub, err = f.askLife(ctx, s.lives[i].ID); err != nil {
			return s, err
		}
	}
	if s.hub == nil {
		s.end, err = f.askEnd(ctx, s.lives[len(s.lives)-1].ID)
		return s, err
	}
	s.own, err = ownAt(ctx, events, s.hub)
	return s, err
}

// ownAt compares EVENTS with what the hub has.
func ownAt(ctx context.Context, events jetstream.Stream, hub *found) (own, error) {
	state := events.CachedInfo().State
	switch {
	case hub.pos.Seq > state.LastSeq:
		return beyond, nil
	case hub.pos.Seq < state.FirstSeq:
		return removed, nil
	}
	m, err := events.GetMsg(ctx, hub.pos.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return removed, nil
	}
	if err != nil {
		return same, fmt.Errorf("read EVENTS: %w", err)
	}
	list, err := event.Parse(event.Header(m.Header), m.Data)
	if err != nil || hub.pos.Index < 0 || hub.pos.Index >= len(list) || list[hub.pos.Index].ID != hub.id {
		return other, nil //nolint:nilerr // what cannot be read is not what the hub has
	}
	return same, nil
}

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

// fork begins a new life of EVENTS at the hub: somebody else forwards under this one.
func (f *Forwarder) fork(ctx context.Context, p place, s situation) (place, error) {
	if err := f.find(ctx, "fork "+s.hub.id, forkText(f.opts.ATM, s.hub.pos.String())); err != nil {
		return p, err
	}
	id, err := f.begin(ctx, p.behind)
	if err != nil {
		return p, err
	}
	f.opts.Log.Error().Str("hub", s.hub.pos.String()).Str("event", s.hub.id).Str("behind", p.behind.String()).Str("life", id).
		Msg("the hub has other events under this edge's numbers: a copy of this disk, or an older image of it, is in use")
	p.fork = false
	return p, nil
}

// begin begins a new life behind a position.
func (f *Forwarder) begin(ctx context.Context, behind streams.Position) (life string, err error) {
	events, err := f.opts.JS.Stream(ctx, streams.Events)
	if err != nil {
		return "", fmt.Errorf("look up EVENTS: %w", err)
	}
	cfg := events.CachedInfo().Config
	life = streams.NewIncarnation(time.Now())
	streams.Fork(&cfg, life, behind)
	if _, err := f.opts.JS.UpdateStream(ctx, cfg); err != nil {
		return "", fmt.Errorf("begin a new life of EVENTS: %w", err)
	}
	return life, nil
}

// renumbered begins a new life where the terminal has another number than the one that
// events were forwarded under: what the hub has stays under the old one, and is not sent
// again under the new one, nor when the number is changed back.
func (f *Forwarder) renumbered(ctx context.Context) error {
	r, err := f.recorded(ctx)
	atm := streams.Terminal(f.opts.ATM)
	if err != nil || r.ATM == atm {
		return err
	}
	life := ""
	if r.ATM != "" {
		events, err := f.opts.JS.Stream(ctx, streams.Events)
		if err != nil {
			return fmt.Errorf("look up EVENTS: %w", err)
		}
		life, err = f.begin(ctx, r.At().Live(streams.Lives(events.CachedInfo().Config.Metadata)))
		if err != nil {
			return err
		}
		f.opts.Log.Warn().Str("before", r.ATM).Str("now", atm).Str("behind", r.Position).Str("life", life).Msg("the terminal has another number: what follows is forwarded under that")
	}
	f.mu.Lock()
	f.record.ATM, f.record.Life, f.dirty = atm, life, true
	f.mu.Unlock()
	return f.write(ctx)
}

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

// Stats may be called at any time.
func (f *Forwarder) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Linked = f.opts.Links() > 0
	if s.Error == errNoLink.Error() && f.opts.Why != nil {
		if why := f.opts.Why(); why != "" {
			s.Error += ": " + why
		}
	}
	return s
}

func (f *Forwarder) count(c func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c(&f.stats)
}

// failed notes why nothing goes; each reason is told once.
func (f *Forwarder) failed(err error) {
	if errors.Is(err, errLink) || errors.Is(err, errLook) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text := err.Error()
	var r *refusal
	if errors.As(err, &r) && (r.Code == wrongLast || r.Code == inProcess) { // an answer came late: no fault
		f.opts.Log.Debug().Err(err).Msg("a batch was refused, the hub is asked what it has")
		return
	}
	if f.stats.Error != text {
		f.opts.Log.Warn().Err(err).Msg("events are not forwarded to the hub, tried again")
		f.stats.Error, f.stats.Since = text, time.Now()
	}
}

func (f *Forwarder) well() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stats.Error != "" || !f.begun {
		f.begun = true
		f.opts.Log.Info().Str("behind", f.done.String()).Msg("events are forwarded to the hub")
	}
	f.stats.Error = ""
	f.stats.stand(f.done)
}

// stand is where forwarding goes on from.
func (s *Stats) stand(p streams.Position) {
	s.At, s.Position, s.Next = p.String(), p, p.Seq
	if p.Index >= 0 {
		s.Next++ // or it has more events: that shows with the next batch
	}
}
