package streams

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Life is one life of EVENTS as the hub knows it: the last token of the subjects of EVT.
//
// Each incarnation of EVENTS is one. Another begins, by a fork, where somebody else
// forwards under this one: a copy of this disk. A fork is nothing to the router, for no
// number is used again, and so it stands in a list of its own (docs/adr/0033).
type Life struct {
	ID    string
	Seq   uint64 // its first event
	Index int
}

const forksKey = "vestnik_forks"

// Lives are those of EVENTS, by its metadata, oldest first.
func Lives(meta map[string]string) (lives []Life) {
	forks := forks(meta)
	take := func(after string) {
		for _, f := range forks {
			if f.after == after {
				lives = append(lives, f.Life)
			}
		}
	}
	for _, inc := range Incarnations(meta) {
		lives = append(lives, Life{ID: inc.ID, Seq: inc.First})
		take(inc.ID)
	}
	return lives
}

// Fork begins a life of this id behind a position, in the newest incarnation.
func Fork(cfg *jetstream.StreamConfig, id string, behind Position) {
	after := ""
	if list := Incarnations(cfg.Metadata); len(list) > 0 {
		after = list[len(list)-1].ID
	}
	one := fmt.Sprintf("%s:%d.%d:%s", id, behind.Seq, behind.Index+1, after)
	setMeta(cfg, forksKey, strings.TrimSpace(cfg.Metadata[forksKey]+" "+one))
}

type fork struct {
	Life
	after string // the incarnation that it is in
}

func forks(meta map[string]string) (list []fork) {
	for _, text := range strings.Fields(meta[forksKey]) {
		var f fork
		if p := strings.Split(text, ":"); len(p) == 3 {
			if _, err := fmt.Sscanf(p[1], "%d.%d", &f.Seq, &f.Index); err == nil {
				f.ID, f.after = p[0], p[2]
				list = append(list, f)
			}
		}
	}
	return list
}

// Before is the position before a life's first event.
func (l Life) Before() Position { return Position{Incarnation: l.ID, Seq: l.Seq, Index: l.Index - 1} }

// LifeAt is the life that an event belongs to, "" = none.
func LifeAt(lives []Life, seq uint64, index int) string {
	for i := len(lives) - 1; i >= 0; i-- {
		if lives[i].Before().before(seq, index) {
			return lives[i].ID
		}
	}
	return ""
}

// before tells whether the event comes behind p.
func (p Position) before(seq uint64, index int) bool {
	return seq > p.Seq || seq == p.Seq && index > p.Index
}

// Live is the position to go on from, if p is the last event that is done with: where a
// later life began at or before p, its events are others (Position.Resume).
func (p Position) Live(lives []Life) Position {
	at := -1
	for i, l := range lives {
		if l.ID == p.Incarnation {
			at = i
		}
	}
	for _, l := range lives[at+1:] {
		if l.Before().before(p.Seq, p.Index) {
			p = l.Before()
		}
	}
	return p
}
