package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// mend gives up what stands in ROUTE behind a hole that a power cut has left
// (docs/adr/0019): ROUTE then ends before the hole, and goes on from there as after
// any loss of its end; EVENTS has everything that is to be made again. Nobody has
// read beyond the hole: sinks and keeper wait for this. last is ROUTE's last sequence.
func (s *session) mend(ctx context.Context, last uint64) error {
	r, ok, err := streams.ReadRemoved(ctx, s.js)
	if err != nil {
		return err
	}
	for _, v := range r.Void { // a second cut may have brought them back
		if _, err := s.drop(ctx, v); err != nil {
			return err
		}
	}
	hole, err := streams.Hole(ctx, s.js)
	if err != nil {
		return fmt.Errorf("look for a hole in ROUTE: %w", err)
	}
	if hole == 0 {
		return s.markEnd(ctx, r, ok, last)
	}
	// The record first: it is synced, and what is dropped is not.
	void := streams.Range{From: hole, To: last}
	r = r.Before(last)
	r.Upto, r.Void = last, append(r.Void, void)
	if err := streams.PutMark(ctx, s.js, streams.RouteMark, r); err != nil {
		return err
	}
	n, err := s.drop(ctx, void)
	if err != nil {
		return err
	}
	s.opts.Log.Warn().Uint64("first", hole).Uint64("last", last).Int("dropped", n).
		Msg("a power cut left a hole in ROUTE: its end is made again from EVENTS")
	return nil
}

// markEnd puts the record right where it does not fit ROUTE's end: with a new store
// or one of a version that had no record, when the disk has lost the end, or lost it
// and kept its number.
func (s *session) markEnd(ctx context.Context, r streams.Removed, ok bool, last uint64) error {
	switch {
	case !ok:
		r = streams.Removed{Upto: last}
	case r.Upto > last:
		r = r.Before(last)
	case r.Upto == last:
		return nil
	default:
		_, err := s.route.GetMsg(ctx, last)
		if err == nil || !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
		r.Upto = last
	}
	return streams.PutMark(ctx, s.js, streams.RouteMark, r)
}

// drop removes what is there of a range.
func (s *session) drop(ctx context.Context, v streams.Range) (int, error) {
	var list []uint64
	err := streams.Scan(ctx, s.js, streams.Route, streams.From{Seq: v.From, Headers: true}, func(m jetstream.Msg) error {
		if streams.Seq(m) > v.To {
			return streams.ErrEnough
		}
		list = append(list, streams.Seq(m))
		return nil
	})
	for i := 0; i < len(list) && err == nil; i++ {
		if err = s.route.DeleteMsg(ctx, list[i]); errors.Is(err, jetstream.ErrMsgNotFound) {
			err = nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("drop what stands in ROUTE behind a hole: %w", err)
	}
	return len(list), nil
}
