package forward

import (
	"context"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Other is another edge with this one's number, as EVT shows it: it sends there. It finds
// such a one also where edges cannot hear each other (package twin).
type Other struct {
	Life    string    // of its EVENTS
	Last    time.Time // receipt of its last event at the hub
	Younger bool      // this edge is the younger: it is to refuse commands (code 106)
}

const (
	// lookOthers is the pause between two looks at EVT.
	lookOthers = time.Minute
	// gone is how long another may send nothing: a machine that was replaced and is off
	// must not have its successor refuse for ever. A terminal says something more often.
	gone = 10 * time.Minute
)

// sight is what is known of another's life.
type sight struct {
	life string
	seen time.Time // first
	seq  uint64    // of its last event
	last time.Time // of its receipt
	grew time.Time // when seq was seen to grow, zero = never
}

// see takes a look at the other's last event. born is when EVENTS was made.
func (o *sight) see(f found, now time.Time) {
	if f.pos.Incarnation != o.life {
		*o = sight{life: f.pos.Incarnation, seen: now, seq: f.seq}
	} else if f.seq > o.seq {
		o.grew = now
	}
	o.seq, o.last = f.seq, event.ReceivedAt(f.id)
}

// active tells whether the other sends now: it was seen to go on, and not long ago.
func (o *sight) active(now time.Time) bool {
	return !o.grew.IsZero() && now.Sub(o.grew) < gone
}

// over tells whether the other has been watched long enough: another may have come.
func (o *sight) over(now time.Time) bool { return !o.active(now) && now.Sub(o.seen) > gone }

// others looks at EVT for lives of this number that we do not send to.
func (f *Forwarder) others(ctx context.Context, s situation) error {
	now := time.Now()
	f.looked = now
	life, known := s.lives[len(s.lives)-1].ID, uint64(0)
	subjects, ask := streams.EvtTerminal(f.opts.ATM), streams.EvtLastAny(f.opts.ATM)
	if s.hub != nil {
		known = s.hub.seq
	}
	if f.other.life != "" { // our own events may come after its last
		known = f.other.seq
		subjects, ask = streams.EvtLife(f.opts.ATM, f.other.life), streams.EvtLast(f.opts.ATM, f.other.life)
	}
	seq, err := f.askSeq(ctx, life, subjects)
	if err != nil {
		return err
	}
	var last *found
	if seq != 0 && seq != known {
		if last, err = f.askEvent(ctx, ask); err != nil {
			return err
		}
	}
	switch {
	case seq == 0: // it has expired
		f.other = sight{}
	case last == nil || last.pos.Incarnation == life || last.pos.Incarnation == s.record.At().Incarnation: // nothing new, or ours
	default:
		f.other.see(*last, now)
	}
	if f.other.life != "" {
		if err := f.judge(ctx, s, now); err != nil {
			return err
		}
	}
	f.tellOther(s, now)
	if f.other.over(now) {
		f.other = sight{}
	}
	return nil
}

// judge says what another life's last event means.
func (f *Forwarder) judge(ctx context.Context, s situation, now time.Time) error {
	switch {
	case f.other.active(now):
		return f.find(ctx, "other "+f.other.life, otherText(f.opts.ATM, f.other.last))
	case s.hub == nil && s.place(f.other.life) < 0 && f.other.last.Before(s.born): // nothing of ours came since
		return f.find(ctx, "wiped "+f.other.life, wipedText(f.other.last))
	}
	return nil
}

// tellOther tells of changes: there is another that sends, or there is none any more.
func (f *Forwarder) tellOther(s situation, now time.Time) {
	var o *Other
	if f.other.active(now) {
		o = &Other{Life: f.other.life, Last: f.other.last, Younger: streams.Younger(s.lives[len(s.lives)-1].ID, f.other.life)}
	}
	if f.opts.Other != nil && (o == nil) != (f.toldOther == nil) {
		f.opts.Other(o)
	}
	f.toldOther = o
}
