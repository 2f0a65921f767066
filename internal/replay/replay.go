// Package replay reads stored events again for the analysis of incidents (SPEC 10): those
// of an edge (EVENTS), of the hub (EVT), of a copied store folder, or of a file that was
// exported before. It only reads: deliveries notice nothing.
package replay

import (
	"context"
	"errors"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Record is one stored event. Who changes the event copies it first: others share it.
type Record struct {
	*event.Event           // Attrs are there if the query asked for them (Query.Text, or Query.Attrs)
	Edge         string    // number of the edge that stored it: 8 digits, "" = not known, as on an edge's own store
	Stream       string    // where it was read; a file's name
	Seq          uint64    // of the message there; a file's line
	Index        int       // in the message
	Stored       time.Time // when the stream stored it; zero = not known, as in a file

	line []byte // the event as AppendJSON has it, without Raw then; nil = it is to be made (Query.Lines)
}

// At is when the event was received; where its id does not tell, when it was stored, or
// what it says itself.
func (r *Record) At() time.Time {
	if at := r.Received(); !at.IsZero() {
		return at
	}
	if !r.Stored.IsZero() {
		return r.Stored
	}
	return r.Time
}

// Source hands stored events out, in the order in which they were stored, each once. One
// terminal's events are in the order of their receipt; where its clock was set back, that
// is not the order of their times.
type Source interface {
	// Read hands to f what is stored now; follow = and what comes, until ctx ends.
	// The source may leave out what q does not want, and may hand it out all the same.
	Read(ctx context.Context, q Query, follow bool, f func(Record) error) error
}

// Read hands to f the events that q wants. streams.ErrEnough of f ends it without an error.
func Read(ctx context.Context, s Source, q Query, follow bool, f func(Record) error) error {
	m := newMatcher(q)
	err := s.Read(ctx, q, follow, func(r Record) error {
		if !m.wants(&r) {
			return nil
		}
		return f(r)
	})
	if errors.Is(err, streams.ErrEnough) {
		return nil
	}
	return err
}
