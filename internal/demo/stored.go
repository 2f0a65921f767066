package demo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// stored is an event as a stream has it: all by which two of them are compared.
type stored struct {
	pos      string // its place at the edge, with the life
	subject  string // at the hub
	id       string
	raw      [sha256.Size]byte
	tag      string
	severity string
}

// readEvents reads EVENTS of an edge, unpacked, with the places and subjects that the events
// must have at the hub.
func readEvents(ctx context.Context, js jetstream.JetStream, number string) (list []stored, err error) {
	s, err := js.Stream(ctx, streams.Events)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", streams.Events, err)
	}
	lives := streams.Lives(s.CachedInfo().Config.Metadata)
	err = streams.Scan(ctx, js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return fmt.Errorf("message %d of %s: %w", streams.Seq(m), streams.Events, err)
		}
		for i, e := range events {
			life := streams.LifeAt(lives, streams.Seq(m), i)
			pos := streams.Position{Incarnation: life, Seq: streams.Seq(m), Index: i}.String()
			list = append(list, storedAs(e, pos, streams.Evt(number, e.Device, e.Severity, life)))
		}
		return nil
	})
	return list, err
}

// readEvt reads EVT, by the number of the edge that sent each event.
func readEvt(ctx context.Context, js jetstream.JetStream) (map[string][]stored, error) {
	all := map[string][]stored{}
	err := streams.Scan(ctx, js, streams.EvtStream, streams.From{}, func(m jetstream.Msg) error {
		e, err := event.FromHeader(event.Header(m.Headers()), m.Data())
		if err != nil {
			return fmt.Errorf("message %d of %s: %w", streams.Seq(m), streams.EvtStream, err)
		}
		number := edgeOf(m.Subject())
		all[number] = append(all[number], storedAs(e, m.Headers().Get(streams.HeaderPos), m.Subject()))
		return nil
	})
	return all, err
}

func storedAs(e *event.Event, pos, subject string) stored {
	s := stored{pos: pos, subject: subject, id: e.ID, raw: sha256.Sum256(e.Raw), severity: streams.Severity(e.Severity)}
	if attrs, err := proatm.Attributes(e.Raw); err == nil {
		s.tag, _ = event.Lookup(attrs, tagName)
	}
	return s
}

// edgeOf is the number of the edge, evt.<T>.…
func edgeOf(subject string) string {
	if f := strings.Split(subject, "."); len(f) == 5 {
		return f[1]
	}
	return ""
}

// difference says where two lists of events part, "" = nowhere: same events, same bytes,
// same order, each once.
func difference(edge, hub []stored) string {
	for i := range min(len(edge), len(hub)) {
		switch e, h := edge[i], hub[i]; {
		case e == h:
		case e.id != h.id || e.pos != h.pos:
			return fmt.Sprintf("event %d is %s (%s) at the edge, %s (%s) at the hub", i+1, e.id, e.pos, h.id, h.pos)
		case e.subject != h.subject:
			return fmt.Sprintf("event %d, %s, belongs to %s and is on %s", i+1, e.id, e.subject, h.subject)
		default:
			return fmt.Sprintf("event %d, %s, has other bytes at the hub", i+1, e.id)
		}
	}
	if len(edge) != len(hub) {
		return fmt.Sprintf("the first %d are the same", min(len(edge), len(hub)))
	}
	return ""
}
