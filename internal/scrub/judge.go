package scrub

import (
	"path/filepath"
	"slices"
)

// judge says what is wrong with a stream.
func (c *check) judge(s *stream) Damage {
	d := Damage{Config: s.config}
	if s.config == Remade && !s.noted && len(s.blocks) == 0 {
		d.Config = "" // it was being made when the power failed
	}
	if d.Config != "" && !c.notes.Clean && (slices.Contains(c.Behind, s.stream) || s.torn) { // as a power cut leaves it: no damage, put right all the same
		c.Log.Warn().Str("stream", s.name()).Str("config", d.Config).Msg("the stream's configuration was not whole, and is put right")
		d.Config = ""
	}
	if s.blind {
		return d
	}
	for _, b := range s.blocks {
		d.Healed += b.healed
	}
	if slices.Contains(c.Gapless, s.stream) {
		c.judgeGapless(s, &d)
	} else {
		c.judgeOther(s, &d)
	}
	return d
}

// judgeGapless finds every missing sequence.
func (c *check) judgeGapless(s *stream, d *Damage) {
	first, last, ok := s.indexed()
	if !ok {
		first = s.note.First
	}
	var lost []Range
	at := max(first, 1) - 1 // the last sequence accounted for
	for _, b := range s.blocks {
		if b.first > at+1 && first+at > 0 {
			lost = append(lost, Range{at + 1, b.first - 1})
		}
		for _, g := range b.gaps {
			if g.To >= first {
				lost = append(lost, Range{max(g.From, first), g.To})
			}
		}
		at = max(at, b.last)
	}
	if end := max(s.note.Last, readLastOf(c.root, s), last); end > at {
		lost = append(lost, Range{at + 1, end})
	}
	d.Ranges = c.history.without(s.stream, lost)
	for _, r := range d.Ranges {
		d.Lost += r.count()
	}
	if d.Lost == 0 && s.holed() {
		d.Healed++ // a tombstone, or what is known
	}
}

// readLastOf is the exact note of the stream that has one.
func readLastOf(root string, s *stream) uint64 {
	if s.stream != "EVENTS" {
		return 0
	}
	return readLast(root)
}

// holed tells whether there is a hole that is no record being written at the end.
func (s *stream) holed() bool {
	for i, b := range s.blocks {
		for _, h := range b.holes {
			if h.after > 0 || i < len(s.blocks)-1 {
				return true
			}
		}
	}
	return false
}

// judgeOther counts what the holes can have held, at most: between their
// neighbours there may be sequences that were removed before.
func (c *check) judgeOther(s *stream, d *Damage) {
	settled := uint64(1 << 63)
	if slices.Contains(c.Behind, s.stream) && !c.notes.Clean {
		settled = s.note.Last
	}
	add := func(r Range, most uint64) {
		switch {
		case r.From > settled: // what a power cut may do, and the router mends
		case r.To < r.From:
			d.Healed++ // a tombstone: no message is missing
		default:
			d.Ranges = append(d.Ranges, r)
			d.Lost += min(r.count(), most)
		}
	}
	at := uint64(0)
	for i, b := range s.blocks {
		for _, h := range b.holes {
			if h.after == 0 && i == len(s.blocks)-1 {
				break // the end: judged by the notes
			}
			after := h.after
			for _, next := range s.blocks[i+1:] {
				if after == 0 {
					after = next.first
				}
			}
			add(Range{max(h.before, at) + 1, max(after, 1) - 1}, h.most())
		}
		at = max(at, b.last)
	}
	if s.note.Last > at && s.noted {
		add(Range{at + 1, s.note.Last}, s.note.Last-at)
	}
	c.missing(s, settled, add, d)
}

// missing judges block files that are gone or have become shorter. Who removes
// messages may do that to blocks, too: only behind a clean stop it is sure that
// nobody has.
func (c *check) missing(s *stream, settled uint64, add func(Range, uint64), d *Damage) {
	now := map[uint32]int64{}
	for _, b := range s.blocks {
		now[b.index] = b.size
	}
	gone := s.note.missing(now)
	if !c.notes.Clean {
		d.Doubt = slices.ContainsFunc(gone, func(index uint32) bool {
			r := s.around(index)
			return r.To > 0 && r.To <= settled // what lies behind a power cut may have taken
		})
		return
	}
	known := uint64(0)
	for _, index := range gone {
		if r := s.around(index); r.To > known && !s.holedAt(index) {
			r.From = max(r.From, known+1)
			add(r, r.count())
			known = r.To
		}
	}
}

// around is what lies between the good records before the end of a block and
// those behind it; nothing, if it is the last.
func (s *stream) around(index uint32) Range {
	r := Range{From: max(s.note.First, 1)}
	for _, b := range s.blocks {
		switch {
		case b.index <= index:
			r.From = max(r.From, b.last+1)
		case r.To == 0 && b.first > 0:
			r.To = b.first - 1
		}
	}
	if r.To < r.From {
		return Range{}
	}
	return r
}

// holedAt tells whether the block ends with a hole: then that has been judged.
func (s *stream) holedAt(index uint32) bool {
	return slices.ContainsFunc(s.blocks, func(b *block) bool {
		return b.index == index && len(b.holes) > 0 && b.holes[len(b.holes)-1].after == 0
	})
}

// mends tells whether the stream's blocks must be written anew.
func (s *stream) mends() bool {
	return s.holed() || slices.ContainsFunc(s.blocks, func(b *block) bool { return b.healed > 0 || s.emptied(b) })
}

// emptied tells whether a block has lost all that it had: only the last may be
// empty.
func (s *stream) emptied(b *block) bool { return b.size == 0 && b != s.blocks[len(s.blocks)-1] }

// mend writes anew what is damaged. What was found is on record before anything
// changes: a crash in between tells it twice and not never.
func (c *check) mend(streams []*stream, found []Damage) error {
	for _, d := range found {
		if d.Real() {
			c.history.List = append(c.history.List, d)
		}
		if !c.history.Needs(d.Stream) {
			c.history.Pending = append(c.history.Pending, d.Stream)
		}
	}
	if len(found) > 0 {
		if err := c.history.Save(); err != nil {
			return err
		}
	}
	for _, s := range streams {
		if err := c.mendStream(s); err != nil {
			return err
		}
	}
	return nil
}

// dir is where the damaged files of a stream are kept.
func (c *check) dir(s *stream) string { return filepath.Join(c.root, c.kept, s.account, s.stream) }
