package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pull reads a stream in order by pull requests, at most so many messages
// ahead, from its own position: no acks. When the consumer is lost (the server
// restarted, a message missing) it makes another behind the last message.
//
// nats.go's ordered consumer does the same but may stall until its heartbeat
// fails, half a minute: when a small batch is used up before the goroutine that
// asked for it has said so, nobody asks for the next (docs/adr/0014).
type pull struct {
	js     jetstream.JetStream
	nc     *nats.Conn
	stream string
	from   From

	sub     *nats.Subscription
	msgs    chan *nats.Msg
	name    string // of the consumer, "" = none
	pending uint64 // messages that the stream held when the consumer was made
	asked   int    // messages asked for and not come
	seen    uint64 // consumer sequence of the last message
	tick    *time.Ticker
	alive   bool // something came since the last tick
	stuck   int  // looks in a row at which the server had messages that did not come
	vain    int  // consumers in a row that gave no message
	limited bool // so many of them are enough
}

const (
	pullExpires   = 30 * time.Second
	pullHeartbeat = time.Second       // of the server while there is nothing to send
	pullIdle      = time.Minute       // the server forgets an unused consumer after that
	pullSilence   = 3 * pullHeartbeat // at a hub the reader's own server goes on when that of its consumer stops
)

// openPull begins to read. silence is how long nothing may come before next
// says errSilent.
func openPull(ctx context.Context, js jetstream.JetStream, stream string, from From, silence time.Duration) (*pull, error) {
	p := &pull{js: js, nc: js.Conn(), stream: stream, from: from}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	p.tick = time.NewTicker(silence)
	return p, nil
}

func (p *pull) open(ctx context.Context) error {
	p.drop()
	cons, err := p.js.CreateConsumer(ctx, p.stream, p.config())
	if err != nil {
		return fmt.Errorf("read %s: %w", p.stream, err)
	}
	info := cons.CachedInfo()
	p.name, p.pending = info.Name, info.NumPending
	if c := info.Cluster; c != nil && c.Name != "" {
		if err := p.current(ctx, cons, c.Leader); err != nil {
			return err
		}
	}
	p.msgs, p.asked, p.seen = make(chan *nats.Msg, 2*p.from.ahead()+64), 0, 0
	if p.sub, err = p.nc.ChanSubscribe(p.nc.NewInbox(), p.msgs); err != nil {
		return fmt.Errorf("read %s: %w", p.stream, err)
	}
	return nil
}

func (p *pull) config() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: pullIdle, HeadersOnly: p.from.Headers}
	if len(p.from.Subjects) == 1 {
		cfg.FilterSubject = p.from.Subjects[0] // stands in the request's subject, too, where rights can see it
	} else {
		cfg.FilterSubjects = p.from.Subjects
	}
	if p.from.Seq > 1 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, p.from.Seq
	}
	return cfg
}

// maxPlaced consumers in a row that were put beside the stream's leader are enough for now.
const maxPlaced = 30

// current sees to it, in a cluster, that the consumer is on the server that leads the
// stream. Another one may be behind: it would not hand out what is there, or hand out what
// has been removed long ago, and say that this is all. On the leader it has everything
// that anybody has been told of.
func (p *pull) current(ctx context.Context, cons jetstream.Consumer, on string) error {
	for range maxPlaced {
		s, err := p.js.Stream(ctx, p.stream)
		if err != nil {
			return fmt.Errorf("read %s: %w", p.stream, err)
		}
		if c := s.CachedInfo().Cluster; c == nil || c.Leader == on {
			info, err := cons.Info(ctx) // since then it has been the leader: now it counts all
			if err != nil {
				return fmt.Errorf("read %s: %w", p.stream, err)
			}
			p.pending = info.NumPending
			return nil
		}
		p.drop()
		if cons, err = p.js.CreateConsumer(ctx, p.stream, p.config()); err != nil {
			return fmt.Errorf("read %s: %w", p.stream, err)
		}
		info := cons.CachedInfo()
		p.name, on = info.Name, info.Cluster.Leader
	}
	p.drop()
	return fmt.Errorf("read %s: no reader on the server that leads it, after %d tries", p.stream, maxPlaced)
}

func (p *pull) close() {
	p.tick.Stop()
	p.drop()
}

// drop lets the consumer go; the server would keep it for a while.
func (p *pull) drop() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // the connection may be gone
		p.sub = nil
	}
	if p.name == "" || !p.nc.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.js.DeleteConsumer(ctx, p.stream, p.name) // it goes by itself later
	p.name = ""
}

// errSilent: nothing came for the whole time between two ticks.
var errSilent = errors.New("the server is silent")

// next waits for the next message of the stream.
func (p *pull) next(ctx context.Context) (*message, error) {
	for {
		if err := p.ask(); err != nil {
			return nil, err
		}
		select {
		case m := <-p.msgs:
			p.alive = true
			msg, err := p.take(m)
			if msg != nil {
				p.stuck, p.vain = 0, 0
				return msg, nil
			}
			if err == nil {
				continue
			}
			if err := p.again(ctx, err); err != nil {
				return nil, err
			}
		case <-p.tick.C:
			if !p.alive {
				return nil, errSilent
			}
			p.alive = false
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// left is how many messages are still to come where was is what the last one
// said: they may have been removed since, or the server with its consumer.
func (p *pull) left(ctx context.Context, was uint64) (uint64, error) {
	cons, err := p.js.Consumer(ctx, p.stream, p.name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // the server restarted: behind the last message, then
		err := p.again(ctx, err)
		return p.pending, err
	case err != nil && p.nc.IsClosed():
		return 0, fmt.Errorf("read %s: %w", p.stream, err)
	case err != nil:
		return was, ctx.Err() // the connection is away: it goes on when that is back
	}
	info := cons.CachedInfo()
	if info.NumPending == 0 && info.Delivered.Consumer <= p.seen {
		return 0, nil
	}
	if p.stuck++; p.stuck >= maxStuck {
		return 0, fmt.Errorf("read %s: the server counts %d messages more and does not hand them out", p.stream, info.NumPending)
	}
	return was, nil
}

// maxStuck looks, a scanSilence apart, are enough: a stream that has frozen may
// count what it could not write.
const maxStuck = 50

// maxVain consumers, with the pauses between them, take about 5 s.
const maxVain = 8

// rest keeps a reader and a server that cannot serve it from running in circles: the
// first new consumer is made at once, those after it later and later.
func (p *pull) rest(ctx context.Context) error {
	if p.vain < 2 {
		return nil
	}
	t := time.NewTimer(min(20*time.Millisecond<<min(p.vain, 10), time.Second))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask sends a pull request when half of what may be ahead has come.
func (p *pull) ask() error {
	ahead := p.from.ahead()
	if p.asked > ahead/2 {
		return nil
	}
	req, err := json.Marshal(map[string]any{"batch": ahead - p.asked, "expires": pullExpires, "idle_heartbeat": pullHeartbeat})
	if err != nil {
		return fmt.Errorf("read %s: %w", p.stream, err)
	}
	if err := p.nc.PublishRequest(requests(p.js)+"CONSUMER.MSG.NEXT."+p.stream+"."+p.name, p.sub.Subject, req); err != nil {
		return fmt.Errorf("read %s: %w", p.stream, err)
	}
	p.asked = ahead
	return nil
}

// take reads what came: a message, or nil for a status. An error means that the
// consumer is of no more use.
func (p *pull) take(m *nats.Msg) (*message, error) {
	if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
		switch status {
		case "100": // heartbeat
			return nil, nil
		case "408", "409":
			left, err := strconv.Atoi(m.Header.Get("Nats-Pending-Messages"))
			if err == nil && left > 0 {
				p.asked -= min(left, p.asked)
				return nil, nil
			}
		}
		return nil, fmt.Errorf("status %s %s", status, m.Header.Get("Description"))
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("message of %s: %w", p.stream, err)
	}
	if meta.Sequence.Consumer != p.seen+1 {
		return nil, fmt.Errorf("message %d came after %d", meta.Sequence.Consumer, p.seen)
	}
	p.seen++
	p.asked--
	p.from.Seq = meta.Sequence.Stream + 1
	return &message{m: m, meta: meta}, nil
}

// again makes a new consumer behind the last message, as soon as that goes.
func (p *pull) again(ctx context.Context, why error) error {
	if p.vain++; p.limited && p.vain > maxVain {
		return fmt.Errorf("read %s: %d consumers in a row gave nothing: %w", p.stream, maxVain, why)
	}
	if err := p.rest(ctx); err != nil {
		return err
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := p.open(try)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, jetstream.ErrStreamNotFound) || p.nc.IsClosed() {
			return errors.Join(err, why)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// message is what Follow and Scan hand out: a jetstream.Msg to read; its acks
// have no meaning and must not be called.
type message struct {
	jetstream.Msg
	m    *nats.Msg
	meta *nats.MsgMetadata
}

func (m *message) Subject() string      { return m.m.Subject }
func (m *message) Data() []byte         { return m.m.Data }
func (m *message) Headers() nats.Header { return m.m.Header }
func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Sequence:     jetstream.SequencePair{Consumer: m.meta.Sequence.Consumer, Stream: m.meta.Sequence.Stream},
		NumDelivered: m.meta.NumDelivered, NumPending: m.meta.NumPending,
		Timestamp: m.meta.Timestamp, Stream: m.meta.Stream, Consumer: m.meta.Consumer, Domain: m.meta.Domain,
	}, nil
}
