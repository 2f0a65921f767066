package faultfs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// A handle is an open file or folder.
type handle struct {
	n    *node
	life int
	sync bool            // O_SYNC or O_DSYNC
	list []fuse.DirEntry // of a folder, as it was when it was opened
}

// open makes a handle; the lock is held.
func (r *raw) open(n *node, flags uint32, out *fuse.OpenOut) *handle {
	r.next++
	n.opens++
	h := &handle{n: n, life: r.d.life, sync: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0}
	r.handles[r.next] = h
	out.Fh = r.next
	if !n.dir {
		out.OpenFlags = fuse.FOPEN_DIRECT_IO // the kernel keeps no pages of its own
	}
	return h
}

// handle finds an open file; the lock is held.
func (r *raw) handle(fh uint64) (*handle, fuse.Status) {
	h := r.handles[fh]
	switch {
	case h == nil:
		return nil, fuse.EBADF
	case h.life != r.d.life || r.d.off:
		return nil, fuse.EIO
	}
	return h, fuse.OK
}

func (r *raw) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.create(in.NodeId, name, false, in.Mode&0o7777&^in.Umask, &out.EntryOut)
	if status == fuse.OK {
		r.open(n, in.Flags, &out.OpenOut)
	}
	return status
}

func (r *raw) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.node(in.NodeId)
	if status != fuse.OK {
		return status
	}
	if in.Flags&syscall.O_TRUNC != 0 {
		if errno := r.d.truncate(n, 0); errno != 0 {
			return fuse.Status(errno)
		}
	}
	r.open(n, in.Flags, out)
	return fuse.OK
}

func (r *raw) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	if h := r.handles[in.Fh]; h != nil && h.life == r.d.life {
		h.n.opens--
	}
	delete(r.handles, in.Fh)
}

func (r *raw) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	h, status := r.handle(in.Fh)
	if status != fuse.OK {
		return nil, status
	}
	if errno := r.d.faults.read; errno != 0 {
		r.d.counts.Failed++
		return nil, fuse.Status(errno)
	}
	from := min(in.Offset, uint64(len(h.n.data)))
	return fuse.ReadResultData(buf[:copy(buf, h.n.data[from:])]), fuse.OK
}

func (r *raw) Write(_ <-chan struct{}, in *fuse.WriteIn, b []byte) (uint32, fuse.Status) {
	r.d.mu.Lock()
	h, status := r.handle(in.Fh)
	if status != fuse.OK {
		r.d.mu.Unlock()
		return 0, status
	}
	offset := int64(in.Offset)
	if in.Flags&syscall.O_APPEND != 0 {
		offset = int64(len(h.n.data))
	}
	errno := r.d.write(h.n, offset, b)
	r.d.mu.Unlock()
	if errno == 0 && h.sync {
		status = r.sync(in.Fh)
	}
	if errno != 0 {
		status = fuse.Status(errno)
	}
	if status != fuse.OK {
		return 0, status
	}
	return uint32(len(b)), fuse.OK
}

func (r *raw) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

// sync is fsync, with the disk's delay between its begin and its end.
func (r *raw) sync(fh uint64) fuse.Status {
	r.d.mu.Lock()
	stamp, delay := r.d.stamp, r.d.delay
	r.d.mu.Unlock()
	time.Sleep(delay)
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	h, status := r.handle(fh)
	if status != fuse.OK {
		return status
	}
	return fuse.Status(r.d.fsync(h.n, stamp))
}

func (r *raw) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status    { return r.sync(in.Fh) }
func (r *raw) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status { return r.sync(in.Fh) }

func (r *raw) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	h, status := r.handle(in.Fh)
	if status != fuse.OK {
		return status
	}
	if in.Mode != 0 {
		return fuse.Status(syscall.EOPNOTSUPP)
	}
	if end := int64(in.Offset + in.Length); end > int64(len(h.n.data)) {
		return fuse.Status(r.d.truncate(h.n, end))
	}
	return fuse.OK
}

func (r *raw) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	n, status := r.node(in.NodeId)
	if status != fuse.OK {
		return status
	}
	h := r.open(n, in.Flags, out)
	for _, name := range sortedNames(n.entries) {
		var a fuse.Attr
		attributes(r.d.nodes[n.entries[name]], &a)
		h.list = append(h.list, fuse.DirEntry{Name: name, Ino: a.Ino, Mode: a.Mode})
	}
	return fuse.OK
}

func (r *raw) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	h, status := r.handle(in.Fh)
	if status != fuse.OK {
		return status
	}
	for i := int(in.Offset); i < len(h.list) && out.AddDirEntry(h.list[i]); i++ {
	}
	return fuse.OK
}

func (r *raw) ReleaseDir(in *fuse.ReleaseIn) { r.Release(nil, in) }
