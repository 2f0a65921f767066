package main

import (
	"fmt"
	"strconv"
	"strings"
)

// numbering is the last place of each terminal's events, by terminal and incarnation.
//
// The header pos is <incarnation>.<sequence>.<index>.0: events that were stored at the
// terminal together share a sequence and count up the index; the next ones have the next
// sequence. So a sequence that is left out is a gap.
type numbering map[string]place

type place struct{ seq, index int }

// next takes in an event's place; it says what is missing before it, "" = nothing.
func (n numbering) next(subject, pos string) (gap string) {
	s, p := strings.Split(subject, "."), strings.Split(pos, ".")
	if len(s) != 5 || len(p) != 4 {
		return ""
	}
	seq, err1 := strconv.Atoi(p[1])
	index, err2 := strconv.Atoi(p[2])
	if err1 != nil || err2 != nil {
		return ""
	}
	life := s[1] + " " + p[0]
	at, known := n[life]
	if is := (place{seq, index}); !known || is.after(at) {
		n[life] = is
	} else {
		return "" // it came again
	}
	switch {
	case !known || seq == at.seq && index == at.index+1 || seq == at.seq+1 && index == 0:
		return ""
	case seq == at.seq:
		return fmt.Sprintf("terminal %s: events %d.%d to %d.%d are missing", s[1], at.seq, at.index+1, seq, index-1)
	case index > 0:
		return fmt.Sprintf("terminal %s: events up to %d.%d are missing, from behind %d.%d", s[1], seq, index-1, at.seq, at.index)
	}
	return fmt.Sprintf("terminal %s: events of the sequences %d to %d are missing", s[1], at.seq+1, seq-1)
}

func (p place) after(q place) bool { return p.seq > q.seq || p.seq == q.seq && p.index > q.index }
