package router

import (
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/streams"
)

// newMsg is one of ROUTE's, at the session's position. It is good until the next
// call: the connection has copied it when put returns.
func (s *session) newMsg(subject string) *nats.Msg {
	if s.header == nil {
		s.header = make(nats.Header, 18)
	}
	clear(s.header)
	s.header[streams.HeaderPos] = []string{s.pos.String()}
	return &nats.Msg{Subject: subject, Header: s.header}
}

func (s *session) eventMsg(subject string, e *event.Event) *nats.Msg {
	m := s.newMsg(subject)
	e.SetHeader(event.Header(m.Header))
	m.Data = e.Raw
	return m
}

// outMsg puts an event into a sink's queue.
func (s *session) outMsg(e *event.Event, sink string, ttl int) *nats.Msg {
	m := s.eventMsg(streams.Out(sink, e.Lane, e.Terminal, e.Severity), e)
	if ttl > 0 {
		m.Header[streams.HeaderTTL] = []string{strconv.Itoa(ttl)}
	}
	return m
}

// suppressedMsg records that a rule never delivers an event. It carries the
// attributes of the CloudEvent but not the XML, which EVENTS has.
func (s *session) suppressedMsg(e *event.Event, sink string) *nats.Msg {
	m := s.eventMsg(streams.Suppressed(sink, e.Terminal), e)
	m.Data = nil
	return m
}

// heldMsg keeps a held event, whole, with the terms under which it is held.
func (s *session) heldMsg(e *event.Event, key hold.Key, t hold.Terms) *nats.Msg {
	m := s.eventMsg(streams.Held(string(key)), e)
	m.Header[streams.HeaderHold] = []string{fmt.Sprintf("%d.%d", t.Count, int(t.Timeout/time.Second))}
	m.Header[streams.HeaderSink] = []string{t.Sink}
	if t.TTL > 0 {
		m.Header[streams.HeaderTTL] = []string{strconv.Itoa(t.TTL)}
	}
	return m
}

func (s *session) releaseMsg(g *hold.Group) *nats.Msg {
	m := s.newMsg(streams.Release(string(g.Key)))
	m.Header[streams.HeaderItems] = []string{strconv.Itoa(len(g.Items))}
	return m
}

func (s *session) rebaseMsg(g *hold.Group, base time.Time) *nats.Msg {
	m := s.newMsg(streams.Rebase(string(g.Key)))
	m.Header[streams.HeaderBase] = []string{base.UTC().Format(time.RFC3339Nano)}
	return m
}

func (s *session) rulesMsg(p policy) (*nats.Msg, error) {
	data, err := p.record()
	if err != nil {
		return nil, fmt.Errorf("record the rules: %w", err)
	}
	m := s.newMsg(streams.Rules)
	m.Data = data
	return m, nil
}
