package faultfs

import (
	"fmt"
	"syscall"
)

// FailWrites answers writes with err (EIO, ENOSPC) after so many more bytes; a
// write that would go beyond is refused whole. Making and removing files works on.
func (d *Disk) FailWrites(err syscall.Errno, after int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.write, d.faults.after = err, after
}

// FailReads answers reads of files with err.
func (d *Disk) FailReads(err syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.read = err
}

// FailFsync lets the next n fsyncs, of files or folders, answer EIO. As on Linux
// the unsynced pages of that file count as clean from then on: the fsync that follows
// says yes, and a cut takes them all the same.
func (d *Disk) FailFsync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.fsyncs = n
}

// Capacity makes the disk so large, 0 = without limit: what would take more is
// answered ENOSPC. Capacity(Used()+n) leaves n bytes.
func (d *Disk) Capacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.capacity = bytes
}

// Heal takes all faults back, and the limit of Capacity.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults{}
}

// Sync makes everything durable: what the kernel does by itself within half a minute.
func (d *Disk) Sync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.nodes {
		n.flush(d.stamp)
	}
	d.commitNames()
}

// Flip turns one bit of a file's byte, on the disk and for readers; a negative
// offset counts from the end.
func (d *Disk) Flip(name string, offset int64, bit uint) error {
	return d.damage(name, offset, func(b []byte, at int64) []byte {
		b[at] ^= 1 << (bit % 8)
		return b
	})
}

// Shorten cuts a file at an offset, on the disk and for readers; a negative offset
// counts from the end.
func (d *Disk) Shorten(name string, offset int64) error {
	return d.damage(name, offset, func(b []byte, at int64) []byte { return b[:at] })
}

func (d *Disk) damage(name string, offset int64, how func(b []byte, at int64) []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return err
	}
	if offset < 0 {
		offset += int64(len(n.data))
	}
	if n.dir || offset < 0 || offset >= int64(len(n.data)) {
		return fmt.Errorf("%s has no byte %d", name, offset)
	}
	n.flush(d.stamp)
	n.durable = how(n.durable, offset)
	n.data = append([]byte(nil), n.durable...)
	return nil
}

// refuseWrite is the answer of FailWrites to a write of so many bytes.
func (d *Disk) refuseWrite(n *node, bytes int64) syscall.Errno {
	if d.faults.write == 0 || !d.hit(n) {
		return 0
	}
	if d.faults.after >= bytes {
		d.faults.after -= bytes
		return 0
	}
	d.faults.after = 0
	d.counts.Failed++
	return d.faults.write
}

// room is the answer of Capacity to something that takes so many bytes more.
func (d *Disk) room(more int64) syscall.Errno {
	if d.faults.capacity == 0 || more <= 0 || d.used()+more <= d.faults.capacity {
		return 0
	}
	d.counts.Full++
	return syscall.ENOSPC
}
