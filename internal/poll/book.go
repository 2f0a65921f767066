package poll

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/streams"
)

// book is a terminal's journal: the bucket, and the same in memory. What is in memory
// is on the disk. Each state has one loop that ends it, so entries are changed by one
// goroutine at a time; the lock is for who looks.
type book struct {
	*line
	handing, posting chan struct{} // have one element when there is something to hand over, to post
	freed            chan struct{} // likewise when a result was posted: the list is shorter now

	mu      sync.Mutex
	entries map[string]*item
	queue   []*item // received and handed, in order
	results []*item // answered, in order
	place   uint64
	bytes   int
}

// item is an entry in memory.
type item struct {
	entry
	key    string
	size   int
	posted time.Duration // when, as clock.Moment's Run
	letter letter        // what posting knows of it
}

// What the journal holds at most, well below the bucket's limit: so results always
// find room, and the bucket's fullness is no fault that anybody has to mend.
const (
	maxWaiting   = 20_000   // commands without an answer: no polls beyond it
	maxPollBytes = 40 << 20 // no polls beyond it
	maxHandBytes = 32 << 20 // no commands to the edge beyond it
)

func newBook(l *line) *book {
	signal := func() chan struct{} { return make(chan struct{}, 1) }
	return &book{line: l, handing: signal(), posting: signal(), freed: signal(), entries: map[string]*item{}}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// learn reads a record.
func (b *book) learn(key string, m jetstream.Msg, now clock.Moment) error {
	if old := b.entries[key]; old != nil {
		delete(b.entries, key)
		b.bytes -= old.size
	}
	if len(m.Data()) == 0 {
		return nil // removed, or expired
	}
	it := &item{key: key, size: len(m.Data())}
	if err := json.Unmarshal(m.Data(), &it.entry); err != nil {
		return err
	}
	switch it.State {
	case received, handed, answered:
	case posted:
		// However the clock was set since: not longer ago than it says, not in the future.
		it.posted = now.Run - max(now.Wall.Sub(it.Posted), 0)
	default:
		return fmt.Errorf("state %q", it.State)
	}
	b.entries[key] = it
	b.bytes += it.size
	b.place = max(b.place, it.Place)
	return nil
}

// arrange makes the queues of what was learnt.
func (b *book) arrange() {
	for _, it := range b.entries {
		switch it.State {
		case received, handed:
			b.queue = append(b.queue, it)
		case answered:
			b.results = append(b.results, it)
		}
	}
	byPlace := func(x, y *item) int { return cmp.Compare(x.Place, y.Place) }
	slices.SortFunc(b.queue, byPlace)
	slices.SortFunc(b.results, byPlace)
}

func (b *book) waiting() (commands, results int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue), len(b.results)
}

// room tells whether there is room for a further list; no poll is under way.
func (b *book) room() bool {
	b.forget(b.opts.Now().Run)
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) < maxWaiting && b.bytes < maxPollBytes
}

// take journals what is new in a list, in its order, each on the disk before the next:
// so a crash leaves a beginning of the list. began is when the list was asked for. It
// tells how many commands are to be executed, or their results posted, anew.
func (b *book) take(ctx context.Context, list []order, began time.Duration) (fresh int, err error) {
	b.forget(began)
	for _, o := range list {
		key := o.key()
		it, again := b.find(key, began)
		switch {
		case it == nil:
			err = b.receive(ctx, key, o)
		case again:
			// The monitoring system does not have the result after all. Our records of
			// those that only ask have gone by now: this one acts.
			err = b.repeat(ctx, it)
		default:
			continue // on its way, or posted while the list was on its way
		}
		if err != nil {
			return fresh, err
		}
		fresh++
	}
	return fresh, nil
}

// find looks for a command of a list; again = it was posted before the list was asked for.
func (b *book) find(key string, began time.Duration) (it *item, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	it = b.entries[key]
	return it, it != nil && it.State == posted && it.posted < began
}

// forget drops what was posted before a list was asked for, and needs no memory: a
// command that only asks, one that acted longer ago than the window (SPEC 7, Once).
func (b *book) forget(began time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, was := b.opts.Now().Run, b.bytes
	for key, it := range b.entries {
		if it.State == posted && it.posted < began && (it.Result == nil || !it.remembered() || now-it.posted >= b.opts.RepeatWindow) {
			delete(b.entries, key)
			b.bytes -= it.size
		}
	}
	if b.bytes < was {
		nudge(b.handing) // it may have waited for room
	}
}

// remembered tells whether the command is not to be executed again when it comes once
// more: it acts, and the application has seen it.
func (e *entry) remembered() bool {
	if c := e.command(); !c.Acts() {
		return false
	}
	var a answer
	return json.Unmarshal(e.Result, &a) != nil || a.Code == nil || !a.unsent()
}

func (b *book) receive(ctx context.Context, key string, o order) error {
	b.mu.Lock()
	b.place++
	it := &item{key: key, entry: entry{order: o, Place: b.place}}
	b.mu.Unlock()
	err := b.change(ctx, it, func(e *entry) { e.State, e.Received = received, b.opts.Now().Wall.UTC() })
	if err != nil {
		return err
	}
	b.counts.received.Add(1)
	b.log.Info().Str("id", idText(o.ID)).Str("command", o.Name).Msg("command polled")
	b.mu.Lock()
	b.entries[key] = it
	b.queue = append(b.queue, it)
	b.mu.Unlock()
	nudge(b.handing)
	return nil
}

// repeat has a recorded result posted again.
func (b *book) repeat(ctx context.Context, it *item) error {
	if err := b.change(ctx, it, func(e *entry) { e.State = answered }); err != nil {
		return err
	}
	b.log.Info().Str("id", idText(it.ID)).Str("command", it.Name).Msg("command polled again: its recorded result is posted again")
	b.ready(it)
	return nil
}

func (b *book) ready(it *item) {
	b.mu.Lock()
	it.letter = letter{}
	b.results = append(b.results, it)
	b.mu.Unlock()
	nudge(b.posting)
}

// next is the command to hand over, nil if there is none, or no room for a result.
func (b *book) next() *item {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 || b.bytes >= maxHandBytes {
		return nil
	}
	return b.queue[0]
}

// handed records that the command is about to be handed over.
func (b *book) handed(ctx context.Context, it *item) error {
	return b.change(ctx, it, func(e *entry) { e.State, e.Handed = handed, b.opts.Now().Wall.UTC() })
}

// answer records a command's result.
func (b *book) answer(ctx context.Context, it *item, a answer) error {
	err := b.change(ctx, it, func(e *entry) {
		e.State, e.Answered, e.Result = answered, b.opts.Now().Wall.UTC(), b.body(&e.order, a)
	})
	if err != nil {
		return err
	}
	b.counts.answered.Add(1)
	b.log.Info().Str("id", idText(it.ID)).Str("command", it.Name).Int("code", int(*a.Code)).Msg("polled command answered")
	b.mu.Lock()
	b.queue = b.queue[1:]
	b.mu.Unlock()
	b.ready(it)
	return nil
}

// drop forgets a command that was not executed, as if it had never come.
func (b *book) drop(ctx context.Context, it *item) error {
	if err := b.put(ctx, &nats.Msg{Subject: subject(b.terminal, it.key)}, minTTL); err != nil {
		return fmt.Errorf("journal of polled commands: command %q is not given back: %w", idText(it.ID), err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = b.queue[1:]
	delete(b.entries, it.key)
	b.bytes -= it.size
	return nil
}

// maxResult keeps an entry below what a NATS message may be.
const maxResult = 900 << 10

// body is what is posted: the answer, with the command's id as it was given (SPEC 6).
func (b *book) body(o *order, a answer) json.RawMessage {
	a.ATM, a.ID, a.Name = b.terminal, o.ID, o.Name
	if body := encode(a); len(body) <= maxResult {
		return body
	}
	a = tooLong()
	a.ATM, a.ID, a.Name = b.terminal, o.ID, o.Name
	return encode(a)
}

// settled records that the monitoring system has the result.
func (b *book) settled(ctx context.Context, it *item) error {
	if err := b.change(ctx, it, func(e *entry) { e.State, e.Posted = posted, b.opts.Now().Wall.UTC() }); err != nil {
		return err
	}
	b.mu.Lock()
	if !it.remembered() { // its record goes at once
		b.bytes, it.size, it.Result = b.bytes-it.size, 0, nil
	}
	b.results = slices.DeleteFunc(b.results, func(x *item) bool { return x == it })
	b.mu.Unlock()
	nudge(b.freed)
	nudge(b.handing)
	return nil
}

// change journals the entry as f leaves it; then it is so in memory.
func (b *book) change(ctx context.Context, it *item, f func(*entry)) error {
	e := it.entry
	f(&e)
	data := encode(e)
	if err := b.put(ctx, &nats.Msg{Subject: subject(b.terminal, it.key), Data: data}, b.keep(&e)); err != nil {
		return fmt.Errorf("journal of polled commands: command %q is not recorded as %s: %w", idText(e.ID), e.State, err)
	}
	b.mu.Lock()
	it.entry = e
	b.bytes += len(data) - it.size
	it.size = len(data)
	if it.State == posted {
		it.posted = b.opts.Now().Run
	}
	b.mu.Unlock()
	return nil
}

// keep is for how long the broker is to keep a record, 0 = until it is replaced.
func (b *book) keep(e *entry) time.Duration {
	if e.State != posted {
		return 0
	}
	if e.remembered() {
		return max(b.opts.RepeatWindow, minTTL)
	}
	return minTTL
}

const (
	minTTL     = time.Second // the broker takes no less
	putTimeout = 4 * time.Second
	putTries   = 5
)

// put returns when the record is on the disk. If the store does not take it for a
// while the session ends and begins again from what the disk has.
func (b *book) put(ctx context.Context, m *nats.Msg, ttl time.Duration) error {
	opts := []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(ttl))
	}
	for n, pause := 1, 100*time.Millisecond; ; n, pause = n+1, 2*pause {
		try, cancel := context.WithTimeout(ctx, putTimeout)
		_, err := b.js.PublishMsg(try, m, opts...)
		cancel()
		if err == nil {
			b.recording(nil)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.recording(err)
		if n == putTries {
			return err
		}
		wait(ctx, pause, nil)
	}
}

// recording notes whether the journal takes records.
func (p *Poller) recording(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record = ""; err != nil {
		p.record = err.Error()
	}
}

// Prepare makes the journal's bucket, if it is not there yet. It is the edge's to do:
// others may not have the right.
func Prepare(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.KeyValue(ctx, streams.Polled)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = js.CreateKeyValue(ctx, streams.PolledConfig())
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", streams.Polled, err)
	}
	return nil
}

// prepared waits a moment for the edge to prepare; where there is none, at a hub, the
// first who needs it does.
func prepared(ctx context.Context, js jetstream.JetStream) error {
	await, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := streams.Await(await, js, stored); err == nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return Prepare(ctx, js)
}
