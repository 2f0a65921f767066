package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// ours are the first tokens of subjects on which nothing is replayed: what came there would
// be taken for the real thing.
var ours = []string{"in", "rt", "out", "done", "mark", "audit", "evt", "evtlast", "live", "cmd", "ctl", "twin", "as", "guard", "mbx", "box", "_INBOX", "_R_"}

// Subject is where events are published: {terminal}, {device} and {severity} stand for
// tokens made of the event's (package streams).
type Subject string

// Check refuses what is no subject, and subjects of Vestnik's and the server's own.
func (s Subject) Check() error {
	plain := s.with("0", "0", "0")
	if strings.ContainsAny(plain, "{}") {
		return fmt.Errorf("subject %q: known are {terminal}, {device} and {severity}", s)
	}
	tokens := strings.Split(plain, ".")
	switch {
	case strings.ContainsAny(plain, " \t\r\n*>") || slices.Contains(tokens, ""):
		return fmt.Errorf("subject %q: want tokens separated by dots, without blanks, * and >", s)
	case strings.HasPrefix(plain, "$") || slices.Contains(ours, tokens[0]) || strings.HasPrefix(string(s), "{"):
		return fmt.Errorf("subject %q: begins as those of Vestnik or the server do, or with the event's own words: nothing is replayed there", s)
	}
	return nil
}

func (s Subject) with(terminal, device, severity string) string {
	return strings.NewReplacer("{terminal}", terminal, "{device}", device, "{severity}", severity).Replace(string(s))
}

// Of is the subject of an event.
func (s Subject) Of(e *event.Event) string {
	if !strings.Contains(string(s), "{") {
		return string(s)
	}
	return s.with(streams.Terminal(e.Terminal), streams.Device(e.Device), streams.Severity(e.Severity))
}

// Publisher publishes events as marked replays: a message each, binary mode. Where a stream
// captures the subject an event counts when that has stored it; else it goes to who listens.
type Publisher struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	to  Subject
	run string

	streams map[string]string // by subject, "" = none captures it
	waiting []jetstream.PubAckFuture
	Stored  int // events that a stream has stored
	Heard   int // events published where no stream is

	Limit time.Duration // for a stream's acknowledgement

	refused chan error         // by the server: one
	asking  context.Context    // ends when the server refuses questions about streams
	mayNot  context.CancelFunc // ends it
}

// inFlight is how many events may wait for a stream's acknowledgement.
const inFlight = 256

// flushLimit is how long a server may take to read what was published, or a stream to
// acknowledge it: one that has just lost its leader may never answer.
const flushLimit = 30 * time.Second

// NewPublisher publishes on nc, whose handler of errors it sets. run is the id of the replay.
func NewPublisher(nc *nats.Conn, js jetstream.JetStream, to Subject, run string) *Publisher {
	p := &Publisher{nc: nc, js: js, to: to, run: run, streams: map[string]string{}, refused: make(chan error, 1), Limit: flushLimit}
	p.asking, p.mayNot = context.WithCancel(context.Background())
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			p.violated(err)
		}
	})
	return p
}

// violated takes what the server says that it did not let through.
func (p *Publisher) violated(err error) {
	_, rest, _ := strings.Cut(err.Error(), `Publish to "`)
	subject, _, ok := strings.Cut(rest, `"`)
	switch {
	case !ok:
	case strings.HasSuffix(subject, ".API.STREAM.NAMES"):
		p.mayNot()
	default:
		select {
		case p.refused <- fmt.Errorf("no right to publish on %s: %w", subject, nats.ErrPermissionViolation):
		default: // one is enough
		}
	}
}

// Publish sends one event. An error may concern an earlier one.
func (p *Publisher) Publish(ctx context.Context, e *event.Event) error {
	m := nats.NewMsg(p.to.Of(e))
	own := *e
	own.Replay = p.run
	own.SetHeader(event.Header(m.Header))
	m.Header.Set(streams.HeaderReplay, p.run)
	m.Data = e.Raw
	stream, err := p.stream(ctx, m.Subject)
	if err != nil {
		return err
	}
	if stream == "" {
		return p.send(ctx, m)
	}
	if len(p.waiting) == inFlight {
		if err := p.settle(ctx, 1); err != nil {
			return err
		}
	}
	f, err := p.js.PublishMsgAsync(m, jetstream.WithExpectStream(stream))
	if err != nil {
		return fmt.Errorf("publish event %s: %w", e.ID, err)
	}
	p.waiting = append(p.waiting, f)
	return nil
}

// stream is the one that captures a subject.
func (p *Publisher) stream(ctx context.Context, subject string) (string, error) {
	name, known := p.streams[subject]
	if known {
		return name, nil
	}
	ask, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.asking, cancel)()
	name, err := p.js.StreamNameBySubject(ask, subject)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		name = "" // or no right to ask
	case err != nil:
		return "", fmt.Errorf("which stream has %s: %w", subject, err)
	}
	p.streams[subject] = name
	return name, nil
}

// send publishes where no stream is.
func (p *Publisher) send(ctx context.Context, m *nats.Msg) error {
	if err := p.nc.PublishMsg(m); err != nil {
		return fmt.Errorf("publish on %s: %w", m.Subject, err)
	}
	if p.Heard++; p.Heard%inFlight == 0 {
		return p.flush(ctx)
	}
	return nil
}

func (p *Publisher) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := p.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	select {
	case err := <-p.refused:
		return err
	default:
		return nil
	}
}

// settle waits for the oldest n acknowledgements.
func (p *Publisher) settle(ctx context.Context, n int) error {
	limit := time.NewTimer(p.Limit)
	defer limit.Stop()
	for _, f := range p.waiting[:n] {
		select {
		case <-f.Ok():
			p.Stored++
		case err := <-p.refused:
			return err
		case err := <-f.Err():
			return fmt.Errorf("publish on %s: %w", f.Msg().Subject, err)
		case <-limit.C:
			return fmt.Errorf("publish on %s: not acknowledged within %s; it may be stored all the same", f.Msg().Subject, p.Limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
	return nil
}

// Close waits until all that was published is where it goes.
func (p *Publisher) Close(ctx context.Context) error {
	defer p.mayNot()
	if err := p.settle(ctx, len(p.waiting)); err != nil {
		return err
	}
	return p.flush(ctx)
}
