package rules

import (
	"cmp"
	"math"
	"slices"

	"vestnik/internal/event"
)

// An index makes a thousand rules cost little. A condition is a pair (name,
// value) or (name, _EXIST); each has a bit. Every rule is filed under the one of
// its conditions that the fewest rules have. An event sets the bits of the
// conditions that it fulfils, and only rules filed under those are looked at.
type index struct {
	names map[string]*column
	free  int // the first rule without attributes, -1 = none
	words int // of 64 bits, to hold all conditions
	keys  []string
}

type column struct {
	exist  *cell // nil if no rule asks _EXIST of this name
	values map[string]*cell
}

// A cell is one condition.
type cell struct {
	bit   int
	uses  int     // rules that have it
	rules []filed // filed here, the best first
}

type filed struct {
	rule int
	size int   // attributes
	rest []int // bits of its other conditions
}

func (f filed) beats(g filed) bool {
	return f.size > g.size || f.size == g.size && f.rule < g.rule
}

func newIndex(rules []Rule) index {
	x := index{names: map[string]*column{}, free: -1}
	bits := 0
	for i := range rules {
		for _, a := range rules[i].Attrs {
			c := x.cell(a)
			if c.uses == 0 {
				c.bit = bits
				bits++
			}
			c.uses++
		}
	}
	x.words = (bits + 63) / 64
	for i := range rules {
		x.keys = append(x.keys, rules[i].Key())
		x.file(&rules[i], i)
	}
	for _, col := range x.names {
		col.sort()
	}
	return x
}

// cell finds or makes the cell of a rule's attribute.
func (x *index) cell(a event.Attr) *cell {
	col := x.names[a.Name]
	if col == nil {
		col = &column{values: map[string]*cell{}}
		x.names[a.Name] = col
	}
	if a.Value == Exist {
		if col.exist == nil {
			col.exist = &cell{}
		}
		return col.exist
	}
	c := col.values[a.Value]
	if c == nil {
		c = &cell{}
		col.values[a.Value] = c
	}
	return c
}

func (x *index) file(r *Rule, i int) {
	if len(r.Attrs) == 0 {
		if x.free < 0 {
			x.free = i
		}
		return
	}
	rarest, fewest := 0, math.MaxInt
	for j, a := range r.Attrs {
		uses := 2 * x.cell(a).uses
		if a.Value == Exist {
			uses++ // of two as rare, a value is the harder to meet
		}
		if uses < fewest {
			rarest, fewest = j, uses
		}
	}
	f := filed{rule: i, size: len(r.Attrs)}
	for j, a := range r.Attrs {
		if j != rarest {
			f.rest = append(f.rest, x.cell(a).bit)
		}
	}
	c := x.cell(r.Attrs[rarest])
	c.rules = append(c.rules, f)
}

func (col *column) sort() {
	best := func(f, g filed) int { return cmp.Or(cmp.Compare(g.size, f.size), cmp.Compare(f.rule, g.rule)) }
	if col.exist != nil {
		slices.SortFunc(col.exist.rules, best)
	}
	for _, c := range col.values {
		slices.SortFunc(c.rules, best)
	}
}

// best is the winner's place in the file, -1 = none.
func (x *index) best(attrs []event.Attr) int {
	var few [16]uint64
	bits := few[:]
	if x.words > len(few) {
		bits = make([]uint64, x.words)
	}
	var some [32]*cell
	cells := some[:0]
	set := func(c *cell) {
		bits[c.bit/64] |= 1 << (c.bit % 64)
		if len(c.rules) > 0 {
			cells = append(cells, c)
		}
	}
	for _, a := range attrs {
		col := x.names[a.Name]
		if col == nil {
			continue
		}
		if col.exist != nil {
			set(col.exist)
		}
		if c := col.values[a.Value]; c != nil {
			set(c)
		}
	}
	won := filed{rule: -1}
	if x.free >= 0 {
		won.rule = x.free
	}
	for _, c := range cells {
		won = c.best(bits, won)
	}
	return won.rule
}

// best is the first of the cell's rules that the event fulfils, if it beats won.
func (c *cell) best(bits []uint64, won filed) filed {
	for _, f := range c.rules {
		if !f.beats(won) {
			return won
		}
		if f.fulfilled(bits) {
			return f
		}
	}
	return won
}

func (f filed) fulfilled(bits []uint64) bool {
	for _, b := range f.rest {
		if bits[b/64]&(1<<(b%64)) == 0 {
			return false
		}
	}
	return true
}
