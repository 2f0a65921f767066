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
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

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
