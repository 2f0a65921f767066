package faultfs

import (
	"slices"
	"syscall"
	"time"
)

const pageSize = 4096

// A change is a write, or a truncation (data nil) to offset.
type change struct {
	stamp  uint64
	offset int64
	data   []byte
	trunc  bool
}

// apply makes a change to a file's bytes.
func (c change) apply(b []byte) []byte {
	end := c.offset + int64(len(c.data))
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	if c.trunc {
		return b[:c.offset]
	}
	copy(b[c.offset:], c.data)
	return b
}

func (d *Disk) change(n *node, c change) {
	d.stamp++
	c.stamp = d.stamp
	n.data, n.mtime = c.apply(n.data), time.Now()
	n.changes = append(n.changes, c)
}

func (d *Disk) write(n *node, offset int64, b []byte) syscall.Errno {
	if errno := d.refuseWrite(n, int64(len(b))); errno != 0 {
		return errno
	}
	if errno := d.room(offset + int64(len(b)) - int64(len(n.data))); errno != 0 {
		return errno
	}
	d.counts.Writes++
	d.change(n, change{offset: offset, data: slices.Clone(b)})
	return 0
}

func (d *Disk) truncate(n *node, size int64) syscall.Errno {
	if errno := d.room(size - int64(len(n.data))); errno != 0 {
		return errno
	}
	d.change(n, change{offset: size, trunc: true})
	return 0
}

// flush makes the changes up to a stamp durable.
func (n *node) flush(stamp uint64) {
	i := 0
	for ; i < len(n.changes) && n.changes[i].stamp <= stamp; i++ {
		n.durable = n.changes[i].apply(n.durable)
	}
	n.changes = slices.Clone(n.changes[i:])
}

// fsync begins at a stamp and ends, after the disk's delay, by making durable
// what was changed up to it.
func (d *Disk) fsync(n *node, stamp uint64) syscall.Errno {
	if n.dir {
		d.counts.FolderFsyncs++
	} else {
		d.counts.Fsyncs++
	}
	if d.faults.fsyncs > 0 && d.hit(n) {
		d.faults.fsyncs--
		d.counts.Failed++
		n.changes = nil // as Linux does: the pages count as clean, and never reach the disk
		return syscall.EIO
	}
	n.flush(stamp)
	switch {
	case d.names == WithFile:
		d.commitNames()
	case n.dir:
		n.durableEntries = cloneNames(n.entries)
	}
	return 0
}

// commitNames is a commit of the file system's journal: all names, and the
// truncations of files whose new bytes are not synced yet.
func (d *Disk) commitNames() {
	for _, n := range d.nodes {
		if n.dir {
			n.durableEntries = cloneNames(n.entries)
		}
		for _, c := range n.changes {
			if c.trunc && c.offset < int64(len(n.durable)) {
				n.durable = n.durable[:c.offset]
			}
		}
	}
}
