package faultfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"time"
)

// A Disk is one mounted file system. Its methods may be called at any time.
type Disk struct {
	Path string // where it is mounted

	mu     sync.Mutex
	nodes  map[uint64]*node
	next   uint64 // the next node's number; none is used again
	stamp  uint64 // counts changes, so that a slow fsync knows which it covers
	life   int    // counts cuts: what was opened in an earlier life answers EIO
	off    bool
	names  Names
	delay  time.Duration
	rng    *rand.Rand
	faults faults
	counts Counts
}

// A node is a file or a folder.
type node struct {
	id    uint64
	dir   bool
	perm  uint32
	mtime time.Time
	gone  bool // removed, though programs may have it open
	opens int

	data    []byte   // of a file: what programs see
	durable []byte   // and what is on the disk
	changes []change // what fsync would move from data to durable

	entries        map[string]uint64 // of a folder: what programs see
	durableEntries map[string]uint64
}

const rootID = 1

func newDisk(path string, o Options) *Disk {
	d := &Disk{Path: path, nodes: map[uint64]*node{}, next: rootID, names: o.Names, delay: o.FsyncDelay,
		rng: rand.New(rand.NewPCG(o.Seed, 0)), faults: faults{capacity: o.Capacity}}
	d.add(true, 0o755)
	return d
}

// add makes a node that has no name yet; the lock is held, as in all that
// follows but the exported methods.
func (d *Disk) add(dir bool, perm uint32) *node {
	n := &node{id: d.next, dir: dir, perm: perm, mtime: time.Now()}
	if dir {
		n.entries, n.durableEntries = map[string]uint64{}, map[string]uint64{}
	}
	d.nodes[n.id] = n
	d.next++
	return n
}

func (n *node) dirty() bool { return n.dir && !maps.Equal(n.entries, n.durableEntries) }

// used is what the files take, in whole pages.
func (d *Disk) used() int64 {
	var all int64
	for _, n := range d.nodes {
		if !n.gone || n.opens > 0 {
			all += (int64(len(n.data)) + pageSize - 1) / pageSize * pageSize
		}
	}
	return all
}

// Used is how many bytes the files take, as Capacity counts them.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used()
}

// Counts tells what happened so far.
func (d *Disk) Counts() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// find follows a path from the root.
func (d *Disk) find(name string) (*node, error) {
	n := d.nodes[rootID]
	for _, part := range strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/") {
		id, ok := n.entries[part]
		if !ok {
			return nil, fmt.Errorf("no %s on the disk", name)
		}
		n = d.nodes[id]
	}
	return n, nil
}

// Files lists the paths of all files, relative to Path, without touching the
// mounted folder.
func (d *Disk) Files() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	d.walk(d.nodes[rootID], "", func(name string, n *node) {
		if !n.dir {
			list = append(list, name)
		}
	})
	return list
}

// walk calls f for everything below a folder, in the order of names.
func (d *Disk) walk(n *node, prefix string, f func(name string, n *node)) {
	for _, name := range sortedNames(n.entries) {
		child := d.nodes[n.entries[name]]
		f(prefix+name, child)
		if child.dir {
			d.walk(child, prefix+name+"/", f)
		}
	}
}
