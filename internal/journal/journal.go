// Package journal puts events on the disk. Record returns nil only when the
// event is in the stream EVENTS and synced: a power cut loses nothing that
// Record has returned nil for (SPEC 1).
//
// The server syncs once per message. So what waits is committed together, as one
// message (DESIGN fact 2): one sync answers all. A lone event is one CloudEvent in
// binary mode; several are one CloudEvents JSON batch. Both hold the same events
// in the order in which Record was called.
package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/streams"
)

// Options of a Journal; the zero value of each field has a usable default.
type Options struct {
	MaxWaiting int           // events that may wait for the disk, default 4096: beyond, code 8
	MaxBytes   int           // of one message, about, default 512 KiB: a server takes 1 MiB
	Deadline   time.Duration // for one commit, default 4 s: beyond, code 6
	// Committed, if set, is called after each commit with the message's sequence
	// and its events, in order, by one goroutine; sequence 0 = the outcome is not
	// known, the events may be stored. It must not block.
	Committed func(seq uint64, events []*event.Event)
	// Observe, if set, is told after each commit that EVENTS took how many events it
	// put on the disk and how long that took; by one goroutine.
	Observe func(events int, took time.Duration)
}

func (o *Options) defaults() {
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 4096
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 512 << 10
	}
	if o.Deadline == 0 {
		o.Deadline = 4 * time.Second
	}
}

// Journal commits events to EVENTS. Record may be called from many goroutines.
type Journal struct {
	js      jetstream.JetStream
	opts    Options
	waiting chan *entry
	stopped chan struct{}
	pool    sync.Pool
	silent  atomic.Int64
	broken  context.Context // of every commit
	cut     context.CancelFunc
	state   state
}

type entry struct {
	ctx  context.Context // of Record: when it has ended nobody waits any more
	e    *event.Event
	done chan error
}

// New makes a journal. Nothing is committed before Run.
func New(js jetstream.JetStream, opts Options) *Journal {
	opts.defaults()
	broken, cut := context.WithCancel(context.Background())
	return &Journal{
		js: js, opts: opts, broken: broken, cut: cut,
		waiting: make(chan *entry, opts.MaxWaiting),
		stopped: make(chan struct{}),
		pool:    sync.Pool{New: func() any { return &entry{done: make(chan error, 1)} }},
	}
}

// Record returns nil when the event is on the disk, else a *code.Error: 8 when
// too many wait, 6 when it could not be stored before ctx ended. After an error it may still have
// been stored: the terminal sends it again, and both count (SPEC 2).
func (j *Journal) Record(ctx context.Context, e *event.Event) error {
	w := j.pool.Get().(*entry)
	w.ctx, w.e = ctx, e
	select {
	case j.waiting <- w:
	default:
		j.pool.Put(w)
		return code.New(code.Overloaded, fmt.Sprintf("%d events wait for the disk", j.opts.MaxWaiting))
	}
	select {
	case err := <-w.done:
		w.ctx, w.e = nil, nil
		j.pool.Put(w)
		return err
	case <-ctx.Done():
		return code.New(code.NotStored, "the store has not answered in time")
	case <-j.stopped:
		select { // the last commit may have come first
		case err := <-w.done:
			return err
		default:
			return code.New(code.NotStored, "the journal is closed")
		}
	}
}

// Silent is how many commits in a row the store has not answered.
func (j *Journal) Silent() int { return int(j.silent.Load()) }

// Break refuses what is on its way to the store and all that comes: the store
// will not answer any more.
func (j *Journal) Break() { j.cut() }

// Run commits until ctx ends, then what still waits, and returns.
func (j *Journal) Run(ctx context.Context) error {
	defer close(j.stopped)
	defer j.cut()
	g := group{max: j.opts.MaxBytes}
	for {
		select {
		case w := <-j.waiting:
			j.gather(&g, w)
			j.commit(&g)
		case <-ctx.Done():
			for len(j.waiting) > 0 {
				j.gather(&g, <-j.waiting)
				j.commit(&g)
			}
			return nil
		}
	}
}

// group is what is committed together, and what the last one teaches.
type group struct {
	entries []*entry
	events  []*event.Event
	bytes   int
	max     int
	buf     []byte
	last    int           // entries in the last group
	took    time.Duration // the last commit
}

// add takes an entry, unless its Record has given up: that event was answered with
// code 6 and comes again.
func (g *group) add(w *entry) {
	if w.ctx.Err() != nil {
		return
	}
	g.entries = append(g.entries, w)
	g.events = append(g.events, w.e)
	g.bytes += size(w.e)
}

// size is the most that an event takes in a batch: JSON may double its XML, and
// context attributes are bounded.
func size(e *event.Event) int { return 2*(len(e.Raw)+len(e.Severity)+len(e.Device)) + 512 }

func (g *group) full() bool { return g.bytes >= g.max || len(g.entries) >= 1000 }

// gather takes what waits. While fewer wait than came last time, it waits for
// them, at most half of what the last commit took: with a slow disk one sync then
// answers all terminals instead of every other one (research: 1.6 times the rate).
func (j *Journal) gather(g *group, first *entry) {
	g.entries, g.events, g.bytes = g.entries[:0], g.events[:0], 0
	g.add(first)
	j.take(g)
	if len(g.entries) >= g.last || g.took > j.opts.Deadline {
		return
	}
	limit := g.took / 2
	if limit < time.Millisecond {
		j.yield(g, limit)
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for len(g.entries) < g.last && !g.full() {
		select {
		case w := <-j.waiting:
			g.add(w)
		case <-timer.C:
			return
		}
	}
}

func (j *Journal) take(g *group) {
	for !g.full() {
		select {
		case w := <-j.waiting:
			g.add(w)
		default:
			return
		}
	}
}

// yield lets the connections run for less time than a timer can measure.
func (j *Journal) yield(g *group, limit time.Duration) {
	for start := time.Now(); len(g.entries) < g.last && !g.full() && time.Since(start) < limit; {
		runtime.Gosched()
		j.take(g)
	}
}

func (j *Journal) commit(g *group) {
	if len(g.entries) == 0 {
		return
	}
	start := time.Now()
	j.state.begin(start)
	seq, err := j.publish(g)
	g.took, g.last = time.Since(start), len(g.entries)
	j.state.end(err)
	if j.opts.Observe != nil && err == nil {
		j.opts.Observe(len(g.entries), g.took)
	}
	switch {
	case j.opts.Committed == nil:
	case err != nil:
		j.opts.Committed(0, nil)
	default:
		j.opts.Committed(seq, append([]*event.Event(nil), g.events...))
	}
	for i, w := range g.entries {
		w.done <- err
		g.entries[i], g.events[i] = nil, nil
	}
}

func (j *Journal) publish(g *group) (uint64, error) {
	ctx, cancel := context.WithTimeout(j.broken, j.opts.Deadline)
	defer cancel()
	ack, err := j.js.PublishMsg(ctx, g.message(), jetstream.WithRetryAttempts(0))
	if errors.Is(err, context.DeadlineExceeded) {
		j.silent.Add(1)
	} else {
		j.silent.Store(0)
	}
	if err != nil {
		return 0, refusal(err)
	}
	return ack.Sequence, nil
}

// refusal says what the terminal is told: code 6, send again (SPEC 1).
func refusal(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, context.Canceled):
		return code.New(code.NotStored, "the store is frozen")
	case errors.Is(err, context.DeadlineExceeded):
		return code.New(code.NotStored, "the store does not answer (disk full or broken?)")
	case streams.IsFull(err):
		return &code.Error{Code: code.NotStored, Detail: "the store is full: the router has not taken these events, is it running?",
			Description: "Хранилище заполнено: принятые события ещё не обработаны маршрутизатором"}
	case errors.As(err, &api):
		return code.New(code.NotStored, "the store refuses: "+api.Description)
	}
	return code.New(code.NotStored, err.Error())
}

func (g *group) message() *nats.Msg {
	if len(g.events) == 1 {
		e := g.events[0]
		m := &nats.Msg{Subject: streams.In(e.Terminal, e.Signature), Data: e.Raw, Header: make(nats.Header, 12)}
		e.SetHeader(event.Header(m.Header))
		return m
	}
	g.buf = event.AppendBatch(g.buf[:0], g.events)
	return &nats.Msg{Subject: streams.InBatch, Data: g.buf, Header: nats.Header(event.BatchHeader())}
}
