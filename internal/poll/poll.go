package poll

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// Options of a Poller; URL, and Terminals or Find, are mandatory.
type Options struct {
	URL       string   // RemoteCommandsUrl
	Terminals []string // whose commands are polled
	// Find, instead of Terminals, hands out the terminals as they come and go, until ctx
	// ends: at a hub. It is called in each session, and begins anew.
	Find     func(ctx context.Context, put, drop func(terminal string)) error
	Parallel int    // polls at once, default 64
	CA       string // PEM file of certificates to trust besides the system's
	Version  string // for User-Agent
	API      string // prefix of JetStream's requests, "" = $JS.API

	Timeout       time.Duration // RemoteMonitoringTimeoutSec: of each step, default 10 s
	PollWait      time.Duration // how long the answer of a poll may take besides, default 1 min
	AnswerTimeout time.Duration // of the edge, default 45 s
	RepeatWindow  time.Duration // an acting command that comes again within it is not executed again; 0 = off

	Retry sink.Backoff // when the monitoring system is out; default 1 s to 5 min
	Aside sink.Backoff // of a result that it refuses; default 1 min to 5 min
	Again sink.Backoff // of a command that the edge does not take or answer; default 200 ms to 5 s
	Pace  Pace         // of polls while all goes well
	// Absent is for how long no edge takes a command before it is answered without one;
	// default 1 min.
	Absent time.Duration
	// Barred is the pause in polling when the edge refuses commands for another edge has
	// its number; default 30 s.
	Barred time.Duration

	Now clock.Func // default clock.Now
	Log zerolog.Logger
}

// maxSilent requests that the edge took and did not answer are enough.
const maxSilent = 5

func (o *Options) defaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Timeout, 10*time.Second)
	def(&o.PollWait, time.Minute)
	def(&o.AnswerTimeout, 45*time.Second)
	def(&o.Absent, time.Minute)
	def(&o.Barred, 30*time.Second)
	def(&o.Pace.Empty, time.Second)
	def(&o.Pace.Least, 100*time.Millisecond)
	if o.Aside == (sink.Backoff{}) {
		o.Aside = sink.AsideSchedule
	}
	if o.Again == (sink.Backoff{}) {
		o.Again = sink.Backoff{Min: 200 * time.Millisecond, Max: 5 * time.Second}
	}
	if o.Pace.Known == (sink.Backoff{}) {
		o.Pace.Known = sink.Backoff{Min: time.Second, Max: 30 * time.Second}
	}
	if o.Parallel <= 0 {
		o.Parallel = 64
	}
	if o.Now == nil {
		o.Now = clock.Now
	}
}

// Poller polls, hands over and posts for its terminals. Make it with New.
type Poller struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	opts   Options
	client *client
	gate   *gate
	slots  chan struct{} // one for each poll that may be under way
	lines  map[string]*line
	counts counts

	mu     sync.Mutex
	record string // why the journal does not take records, "" = it does
}

// New checks the options and reads the CA file. It opens no connection. Errors name
// the setting.
func New(nc *nats.Conn, o Options) (*Poller, error) {
	o.defaults()
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	js, err := streams.JetStream(nc, o.API)
	if err != nil {
		return nil, err
	}
	p := &Poller{nc: nc, js: js, opts: o, client: c, gate: newGate(), slots: make(chan struct{}, o.Parallel), lines: map[string]*line{}}
	for _, atm := range o.Terminals {
		p.lines[streams.Terminal(atm)] = newLine(p, streams.Terminal(atm))
	}
	if len(p.lines) == 0 && o.Find == nil {
		return nil, errors.New("no terminal whose commands are polled")
	}
	return p, nil
}

// SetPaused stops and resumes (SPEC 4): no polls, no commands to the edge, no posts.
// A poll that waits for commands is given up; what is being executed or posted ends.
func (p *Poller) SetPaused(paused bool) { p.gate.set(paused) }

// Run works until ctx ends; a post in flight may end before. After a fault of the
// broker it begins again from the journal. Only one process may run it at a time.
func (p *Poller) Run(ctx context.Context) error {
	defer p.client.close()
	var again streams.Again
	for ctx.Err() == nil {
		began := p.opts.Now()
		err := p.session(ctx)
		if ctx.Err() != nil {
			break
		}
		pause := again.After(err, p.opts.Now().Run-began.Run)
		p.opts.Log.Error().Err(err).Dur("pause", pause).Msg("polling of commands interrupted, begins again from its journal")
		wait(ctx, pause, nil)
	}
	return nil
}

// session is one life between two readings of the journal.
func (p *Poller) session(ctx context.Context) error {
	ctx, stop := streams.Connected(ctx, p.nc)
	defer stop()
	return streams.Cause(ctx, p.nc, p.work(ctx))
}

func (p *Poller) work(ctx context.Context) error {
	if err := prepared(ctx, p.js); err != nil {
		return err
	}
	if err := p.recall(ctx); err != nil {
		return err
	}
	t := &turn{Poller: p}
	t.ctx, t.end = context.WithCancel(ctx)
	defer t.end()
	for _, l := range p.all() {
		t.start(l)
	}
	if p.opts.Find != nil {
		t.run(func(ctx context.Context) error { return p.opts.Find(ctx, t.put, p.drop) })
	}
	t.wg.Wait()
	return errors.Join(t.errs...)
}

// turn is the loops of one session: one that ends, ends all.
type turn struct {
	*Poller
	ctx context.Context
	end context.CancelFunc
	wg  sync.WaitGroup

	mu   sync.Mutex
	errs []error
}

func (t *turn) run(f func(context.Context) error) {
	t.wg.Go(func() {
		defer t.end()
		if err := f(t.ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.mu.Lock()
			t.errs = append(t.errs, err)
			t.mu.Unlock()
		}
	})
}

func (t *turn) start(l *line) {
	for _, run := range []func(context.Context) error{l.poll, l.hand, l.post} {
		t.run(run)
	}
}

// put has a terminal's commands polled from now on. Whose journal is not empty had its
// line made when that was read.
func (t *turn) put(terminal string) {
	l, there := t.line(terminal)
	l.off.Store(false)
	if there {
		nudge(l.on)
		return
	}
	b := newBook(l)
	b.arrange()
	l.told.Lock()
	l.book = b
	l.told.Unlock()
	t.start(l)
}

// drop ends the polls for a terminal; what was polled is executed, and its results posted.
func (p *Poller) drop(terminal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[terminal]; l != nil {
		l.off.Store(true)
	}
}

// line is the terminal's, a new one if there was none.
func (p *Poller) line(terminal string) (l *line, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, there = p.lines[terminal]; !there {
		l = newLine(p, terminal)
		p.lines[terminal] = l
	}
	return l, there
}

func (p *Poller) all() (list []*line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		list = append(list, l)
	}
	return list
}

// recall reads what the journal has of each terminal. Where terminals come and go, those
// that it has something of are not polled until they are found again.
func (p *Poller) recall(ctx context.Context) error {
	books := map[string]*book{}
	for _, l := range p.all() {
		books[l.terminal] = newBook(l)
	}
	now := p.opts.Now()
	err := streams.Scan(ctx, p.js, stored, streams.From{Subjects: []string{subjects}}, func(m jetstream.Msg) error {
		terminal, key := parseSubject(m.Subject())
		b := books[terminal]
		if b == nil {
			if p.opts.Find == nil {
				return nil // polled under an earlier configuration
			}
			l, _ := p.line(terminal)
			l.off.Store(true)
			b = newBook(l)
			books[terminal] = b
		}
		if err := b.learn(key, m, now); err != nil {
			b.log.Error().Err(err).Str("key", key).Msg("the journal of polled commands holds what is no command")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the journal of polled commands: %w", err)
	}
	for _, b := range books {
		b.arrange()
		if n, r := len(b.queue), len(b.results); n+r > 0 {
			b.log.Info().Int("commands", n).Int("results", r).Msg("polled commands go on")
		}
		b.told.Lock()
		b.line.book = b
		b.told.Unlock()
	}
	return nil
}

// A line is what is done for one terminal. Its loops are poll, hand and post; the book
// is what they have in common.
type line struct {
	*Poller
	terminal string
	log      zerolog.Logger
	book     *book // of the running session, nil before the first

	off atomic.Bool   // it is not polled (now)
	on  chan struct{} // has one element when off has ended

	// Of poll's goroutine, and kept from one session to the next.
	idle    int    // lists in a row with nothing new
	skipped string // what was wrong with single commands of the last list

	// Of hand's.
	absent time.Duration // since when there is no edge, 0 = there is
	barred atomic.Int64  // until when there are no polls, by clock.Moment's Run

	// Of poll's and post's, for all to see.
	told sync.Mutex
	out  outage // of polls
	mail postbox
}

func newLine(p *Poller, terminal string) *line {
	return &line{Poller: p, terminal: terminal, on: make(chan struct{}, 1), log: p.opts.Log.With().Str("atm", terminal).Logger(),
		out: outage{backoff: p.opts.Retry}, mail: postbox{outage: outage{backoff: p.opts.Retry}, aside: p.opts.Aside}}
}

// wait returns after d, at a signal, or at the end of ctx. d < 0 = at a signal only.
func wait(ctx context.Context, d time.Duration, signal <-chan struct{}) {
	var expired <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		expired = t.C
	}
	select {
	case <-expired:
	case <-signal:
	case <-ctx.Done():
	}
}
