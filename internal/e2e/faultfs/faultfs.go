// Package faultfs is a disk for tests: a file system in memory, mounted through
// FUSE, that fails as disks do. A power cut drops what was not synced; writes,
// reads and fsyncs are refused on demand; space runs out.
//
//	disk := faultfs.Mount(t, faultfs.Options{Seed: seed})
//	… programs run with their store below disk.Path …
//	disk.Off()
//	… and are killed …
//	lost := disk.Cut(faultfs.Torn)
//	… programs run again …
//
// Each file and each folder has two states: what programs see, and what a power
// cut leaves. fsync (and writes to a file opened with O_SYNC or O_DSYNC) moves
// changes from the first to the second. The kernel's own writeback is left out: on
// this disk nothing becomes durable by waiting, the worst case.
//
// The test's own process is the file system: it must hold no file of the disk open
// while it starts other programs (the kernel would wait for us, and we for it).
// Linux only; elsewhere, and where FUSE may not be used, Mount skips the test.
package faultfs

import (
	"syscall"
	"time"
)

// Loss says what becomes of unsynced writes at a power cut.
type Loss int

// What a power cut may leave of the unsynced writes of a file.
const (
	All   Loss = iota // nothing
	Torn              // the first of them, any number, the last of these in part
	Pages             // any of their 4 KiB pages, in no order
)

func (l Loss) String() string { return [...]string{"all", "torn", "pages"}[l] }

// Names says when a name (made, renamed, removed) is durable.
type Names int

// The rules for names. With Torn and Pages, names that are not durable yet are
// lost or kept by chance, as a cut may come just after the journal's own commit.
const (
	WithFile Names = iota // any fsync commits all names so far, and truncations: journals of ext4 and XFS
	Strict                // only the fsync of their folder does it: the least that POSIX promises
)

func (n Names) String() string { return [...]string{"with-file", "strict"}[n] }

// Options of a disk; zero values are usable.
type Options struct {
	Seed       uint64        // of what chance decides
	Names      Names         // when names are durable
	Capacity   int64         // bytes; 0 = no limit
	FsyncDelay time.Duration // what each fsync takes; what is written meanwhile is not synced by it
}

// Lost is what a power cut took, for the test's log.
type Lost struct {
	Bytes int64 // unsynced bytes, whether some survived or not
	Files int   // files with such bytes
	Names int   // names that were not durable
}

// Counts tells what happened on the disk since it was mounted, so that a test
// knows that its fault was met.
type Counts struct {
	Writes, Fsyncs, FolderFsyncs int
	Full                         int // operations refused for lack of space
	Failed                       int // operations refused by FailWrites, FailReads, FailFsync
}

// A fault is what the disk is told to refuse.
type faults struct {
	capacity int64         // 0 = no limit
	write    syscall.Errno // 0 = writes work
	after    int64         // bytes that are still written before write is answered
	read     syscall.Errno
	fsyncs   int    // so many fsyncs fail
	only     string // part of the paths that write and fsyncs meet, "" = all
}
