package faultfs

import (
	"maps"
	"slices"
)

func cloneNames(m map[string]uint64) map[string]uint64 { return maps.Clone(m) }

func sortedNames(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }

// Off is the moment in which the power fails: the disk answers nothing but EIO from
// here on, also to what is on its way (a killed program's fsync would be waited for
// and done otherwise). Kill the programs then, and Cut.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// Cut is what the disk holds when the power is back: what was not durable is gone
// as loss says, faults are healed, what was opened before answers EIO. The programs
// that use the disk must have been killed before: a power cut takes them too.
func (d *Disk) Cut(loss Loss) Lost {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := d.loses()
	if loss != All {
		d.keepNames()
	}
	kept := map[uint64]bool{}
	d.restart(d.nodes[rootID], loss, kept)
	maps.DeleteFunc(d.nodes, func(id uint64, _ *node) bool { return !kept[id] })
	d.life++
	d.off = false
	d.faults = faults{capacity: d.faults.capacity}
	return lost
}

// loses counts what is not durable.
func (d *Disk) loses() Lost {
	var l Lost
	for _, n := range d.nodes {
		if len(n.changes) > 0 && !n.gone {
			l.Files++
		}
		for _, c := range n.changes {
			l.Bytes += int64(len(c.data))
		}
		for name, id := range n.entries {
			if n.durableEntries[name] != id {
				l.Names++
			}
		}
	}
	return l
}

// keepNames lets chance decide on names that are not durable yet.
func (d *Disk) keepNames() {
	if d.names == WithFile {
		if d.rng.IntN(2) == 0 {
			d.commitNames()
		}
		return
	}
	for _, id := range slices.Sorted(maps.Keys(d.nodes)) {
		if n := d.nodes[id]; n.dirty() && d.rng.IntN(2) == 0 {
			n.durableEntries = cloneNames(n.entries)
		}
	}
}

// restart makes what programs see from what is on the disk, from a folder down.
func (d *Disk) restart(n *node, loss Loss, kept map[uint64]bool) {
	kept[n.id], n.gone, n.opens = true, false, 0
	if !n.dir {
		n.durable = d.survivors(n, loss)
		n.data, n.changes = slices.Clone(n.durable), nil
		return
	}
	n.entries = cloneNames(n.durableEntries)
	for _, name := range sortedNames(n.entries) {
		d.restart(d.nodes[n.entries[name]], loss, kept)
	}
}

// survivors are a file's bytes after the cut.
func (d *Disk) survivors(n *node, loss Loss) []byte {
	b := n.durable
	switch {
	case len(n.changes) == 0:
	case loss == Torn:
		whole := d.rng.IntN(len(n.changes) + 1)
		for _, c := range n.changes[:whole] {
			b = c.apply(b)
		}
		if whole < len(n.changes) {
			if c := n.changes[whole]; len(c.data) > 1 {
				c.data = c.data[:d.rng.IntN(len(c.data))]
				b = c.apply(b)
			}
		}
	case loss == Pages:
		reached := map[int64]bool{}
		for _, c := range n.changes {
			b = d.somePages(b, c, reached)
		}
	}
	return b
}

// somePages applies those pages of a change that reached the disk; chance decides
// once for each page of the file.
func (d *Disk) somePages(b []byte, c change, reached map[int64]bool) []byte {
	if c.trunc {
		return c.apply(b)
	}
	for from := int64(0); from < int64(len(c.data)); {
		page := (c.offset + from) / pageSize
		to := min((page+1)*pageSize-c.offset, int64(len(c.data)))
		yes, decided := reached[page]
		if !decided {
			yes = d.rng.IntN(2) == 0
			reached[page] = yes
		}
		if yes {
			b = change{offset: c.offset + from, data: c.data[from:to]}.apply(b)
		}
		from = to
	}
	return b
}
