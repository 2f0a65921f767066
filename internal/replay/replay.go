// Package replay reads stored events again for the analysis of incidents (SPEC 10): those
// of an edge (EVENTS), of the hub (EVT), of a copied store folder, or of a file that was
// exported before. It only reads: deliveries notice nothing.
package replay

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// Record is one stored event.
type Record struct {
	*event.Event        // Attrs are there if the query asked for them (Query.Text, or Query.Attrs)
	Edge         string // number of the edge that stored it: 8 digits, "" = not known, as on an edge's own store
	Stream       string // where it was read
	Seq          uint64 // of the message there
	Index        int    // in the message
}

// Query chooses events; its zero value chooses all.
type Query struct {
	From, To   time.Time // of receipt, To not included; zero = open
	Terminals  []string  // 8 digits
	Devices    []string  // number or CEN/XFS name, alike (streams.Device)
	Severities []string
	Text       string // in a value of an attribute, in any case
	Attrs      bool   // Record.Attrs are wanted
}

// Source hands stored events out, oldest first, each once.
type Source interface {
	// Read hands to f what is stored now; follow = and what comes, until ctx ends.
	// The source may leave out what q does not want, and may hand it out all the same.
	Read(ctx context.Context, q Query, follow bool, f func(Record) error) error
}

// Read hands to f the events that q wants. streams.ErrEnough of f ends it without an error.
func Read(ctx context.Context, s Source, q Query, follow bool, f func(Record) error) error {
	return s.Read(ctx, q, follow, func(r Record) error {
		ok, err := q.wants(&r)
		if err != nil || !ok {
			return err
		}
		return f(r)
	})
}

// wants judges a record, and reads its attributes where they are needed.
func (q Query) wants(r *Record) (bool, error) {
	at := r.Received()
	switch {
	case !q.From.IsZero() && at.Before(q.From), !q.To.IsZero() && !at.Before(q.To):
		return false, nil
	case len(q.Terminals) > 0 && !slices.Contains(q.Terminals, r.Terminal) && !slices.Contains(q.Terminals, r.Edge):
		return false, nil
	case len(q.Severities) > 0 && !slices.Contains(q.Severities, r.Severity):
		return false, nil
	case len(q.Devices) > 0 && !slices.ContainsFunc(q.Devices, func(d string) bool { return sameDevice(d, r.Device) }):
		return false, nil
	}
	if q.Text == "" && !q.Attrs {
		return true, nil
	}
	attrs, err := proatm.Attributes(r.Raw)
	if err != nil {
		return q.Text == "", nil //nolint:nilerr // not our XML: it is shown as it is
	}
	own := *r.Event // others may share it
	own.Attrs = attrs
	r.Event = &own
	if q.Text == "" {
		return true, nil
	}
	text := strings.ToLower(q.Text)
	return slices.ContainsFunc(attrs, func(a event.Attr) bool { return strings.Contains(strings.ToLower(a.Value), text) }), nil
}

// sameDevice: 7 and CDM are one device; what neither number nor name is, is itself.
func sameDevice(a, b string) bool {
	if t := streams.Device(a); t != "other" {
		return t == streams.Device(b)
	}
	return a == b
}

// Stream is the source that a stream is: EVENTS or EVT.
type Stream struct {
	JS   jetstream.JetStream
	Name string
}

func (s Stream) Read(ctx context.Context, q Query, follow bool, f func(Record) error) error {
	read := streams.Scan
	if follow {
		read = streams.Follow
	}
	return read(ctx, s.JS, s.Name, streams.From{}, func(m jetstream.Msg) error {
		list, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return nil //nolint:nilerr // no event of ours
		}
		for i, e := range list {
			if err := f(Record{Event: e, Stream: s.Name, Seq: streams.Seq(m), Index: i}); err != nil {
				return err
			}
		}
		return nil
	})
}
