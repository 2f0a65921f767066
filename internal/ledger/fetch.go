package ledger

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// fetch reads an event from ROUTE or DONE; nil if neither has it any more.
func (l *listing) fetch(id string, f fact) (*event.Event, error) {
	if e, err := l.fromRoute(f.route); e != nil || err != nil {
		return e, err
	}
	return l.fromDone(id, f.done)
}

func (l *listing) fromRoute(seq uint64) (*event.Event, error) {
	m, err := l.message(streams.Route, seq)
	if m == nil || err != nil {
		return nil, err
	}
	e, err := event.FromHeader(event.Header(m.Header), m.Data)
	if err != nil {
		return nil, nil // the same as no event
	}
	return e, nil
}

func (l *listing) fromDone(id string, seq uint64) (*event.Event, error) {
	m, err := l.message(streams.Done, seq)
	if m == nil || err != nil {
		return nil, err
	}
	list, _ := streams.ParseOutcomes(m.Data) // an error: no outcomes
	for _, o := range list {
		if o.ID != id || len(o.Event) == 0 {
			continue
		}
		if e, err := event.ParseJSON(o.Event); err == nil {
			return e, nil
		}
	}
	return nil, nil
}

// message reads one message; nil if it is not there any more.
func (l *listing) message(stream string, seq uint64) (*jetstream.RawStreamMsg, error) {
	if seq == 0 {
		return nil, nil
	}
	s, err := l.stream(stream)
	if s == nil || err != nil {
		return nil, err
	}
	m, err := s.GetMsg(l.ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", seq, stream, err)
	}
	return m, nil
}

func (l *listing) stream(name string) (jetstream.Stream, error) {
	if s, ok := l.opened[name]; ok {
		return s, nil
	}
	s, err := open(l.ctx, l.js, name)
	if err == nil {
		l.opened[name] = s
	}
	return s, err
}

// complete takes over what the event itself tells; a nil event tells nothing, one
// without its XML only the time.
func complete(entry *Entry, e *event.Event) {
	if entry.Attributes = []event.Attr{}; e == nil {
		return
	}
	if !e.Time.IsZero() {
		entry.Time = e.Time
	}
	if attrs, err := proatm.Attributes(e.Raw); err == nil && attrs != nil {
		entry.Attributes = attrs
	}
}
