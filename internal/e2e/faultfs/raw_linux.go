package faultfs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// raw is the kernel's side of a disk: names and attributes here, open files in
// handle_linux.go.
type raw struct {
	fuse.RawFileSystem // answers "not implemented" to the rest
	d                  *Disk
	handles            map[uint64]*handle
	next               uint64
}

func newRaw(d *Disk) *raw {
	return &raw{RawFileSystem: fuse.NewDefaultRawFileSystem(), d: d, handles: map[uint64]*handle{}}
}

func (r *raw) String() string { return "faultfs" }

// node finds a node; the lock is held.
func (r *raw) node(id uint64) (*node, fuse.Status) {
	switch n := r.d.nodes[id]; {
	case r.d.off:
		return nil, fuse.EIO
	case n == nil:
		return nil, fuse.Status(syscall.ESTALE) // a cut took it
	default:
		return n, fuse.OK
	}
}

func attributes(n *node, a *fuse.Attr) {
	a.Ino, a.Nlink, a.Mode = n.id, 1, syscall.S_IFREG|n.perm
	if n.dir {
		a.Nlink, a.Mode = 2, syscall.S_IFDIR|n.perm
	}
	a.Size, a.Blksize = uint64(len(n.data)), pageSize
	a.Blocks = (a.Size + 511) / 512
	a.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

func entry(n *node, out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, 1
	attributes(n, &out.Attr)
}

func (r *raw) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.node(h.NodeId)
	if status != fuse.OK {
		return status
	}
	id, ok := n.entries[name]
	if !ok {
		return fuse.ENOENT
	}
	entry(r.d.nodes[id], out)
	return fuse.OK
}

func (r *raw) Forget(uint64, uint64) {} // nodes stay until a cut

func (r *raw) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.node(in.NodeId)
	if status == fuse.OK {
		attributes(n, &out.Attr)
	}
	return status
}

func (r *raw) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.node(in.NodeId)
	if status != fuse.OK {
		return status
	}
	if mode, ok := in.GetMode(); ok {
		n.perm = mode & 0o7777
	}
	if t, ok := in.GetMTime(); ok {
		n.mtime = t
	}
	if size, ok := in.GetSize(); ok {
		if errno := r.d.truncate(n, int64(size)); errno != 0 {
			return fuse.Status(errno)
		}
	}
	attributes(n, &out.Attr)
	return fuse.OK
}

// create makes a name; the lock is held.
func (r *raw) create(parent uint64, name string, dir bool, perm uint32, out *fuse.EntryOut) (*node, fuse.Status) {
	p, status := r.node(parent)
	if status != fuse.OK {
		return nil, status
	}
	if _, ok := p.entries[name]; ok {
		return nil, fuse.Status(syscall.EEXIST)
	}
	if errno := r.d.room(pageSize); errno != 0 {
		return nil, fuse.Status(errno)
	}
	n := r.d.add(dir, perm)
	p.entries[name], p.mtime = n.id, time.Now()
	entry(n, out)
	return n, fuse.OK
}

func (r *raw) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	_, status := r.create(in.NodeId, name, true, in.Mode&0o7777&^in.Umask, out)
	return status
}

func (r *raw) remove(parent uint64, name string, dir bool) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	p, status := r.node(parent)
	if status != fuse.OK {
		return status
	}
	id, ok := p.entries[name]
	if !ok {
		return fuse.ENOENT
	}
	n := r.d.nodes[id]
	switch {
	case dir && !n.dir:
		return fuse.ENOTDIR
	case !dir && n.dir:
		return fuse.EISDIR
	case len(n.entries) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	n.gone = true
	delete(p.entries, name)
	p.mtime = time.Now()
	return fuse.OK
}

func (r *raw) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return r.remove(h.NodeId, name, false)
}

func (r *raw) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return r.remove(h.NodeId, name, true)
}

func (r *raw) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	from, status := r.node(in.NodeId)
	if status != fuse.OK {
		return status
	}
	to, status := r.node(in.Newdir)
	if status != fuse.OK {
		return status
	}
	id, ok := from.entries[oldName]
	if !ok {
		return fuse.ENOENT
	}
	if in.Flags != 0 { // renameat2, which nobody here needs
		return fuse.EINVAL
	}
	if old, ok := to.entries[newName]; ok && old != id {
		if len(r.d.nodes[old].entries) > 0 {
			return fuse.Status(syscall.ENOTEMPTY)
		}
		r.d.nodes[old].gone = true
	}
	delete(from.entries, oldName)
	to.entries[newName] = id
	from.mtime, to.mtime = time.Now(), time.Now()
	return fuse.OK
}

func (r *raw) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	total := r.d.faults.capacity
	if total == 0 {
		total = 64 << 30
	}
	free := uint64(max(total-r.d.used(), 0) / pageSize)
	out.Bsize, out.Frsize, out.NameLen = pageSize, pageSize, 255
	out.Blocks, out.Bfree, out.Bavail = uint64(total/pageSize), free, free
	out.Files, out.Ffree = 1<<20, 1<<20
	return fuse.OK
}

func (r *raw) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }
