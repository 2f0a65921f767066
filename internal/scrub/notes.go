package scrub

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Names of our files in the store.
const (
	notesFile  = "vestnik.notes"
	lastFile   = "vestnik.last"
	damageFile = "vestnik.damage.json"
	copiesDir  = "vestnik.meta" // of the streams' configurations
	damagedDir = "damaged"      // what was damaged, as it was
)

// note is what is known of a stream.
type note struct {
	State
	Blocks map[uint32]int64 `json:"blocks"` // the sizes of its block files
}

// State is how far a stream goes.
type State struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"` // in a note: the highest sequence that must be on the disk
}

type notes struct {
	Clean   bool            `json:"clean"` // written behind a clean stop: nothing has changed since
	Streams map[string]note `json:"streams"`
}

// Notes are kept while the server runs, for the next Check. One goroutine at a
// time, but for Stored.
type Notes struct {
	root    string
	lag     time.Duration
	behind  map[string]bool
	seen    []sighting
	written string
	metas   map[string]string

	mu   sync.Mutex
	last *os.File
}

// sighting is how far the streams were at some time.
type sighting struct {
	at time.Time
	to map[string]State
}

// OpenNotes begins new notes. The streams named are written to the disk only lag
// after they are acknowledged.
func OpenNotes(root string, lag time.Duration, behind ...string) (*Notes, error) {
	f, err := os.OpenFile(filepath.Join(root, lastFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("notes of the store: %w", err)
	}
	n := &Notes{root: root, lag: lag, behind: map[string]bool{}, metas: map[string]string{}, last: f}
	for _, name := range behind {
		n.behind[name] = true
	}
	return n, nil
}

// Stored notes that EVENTS has acknowledged a sequence. It costs a write of a few
// bytes, not synced: after kill -9 the note is exact, after a power cut it may be
// older. It may be called at any time.
func (n *Notes) Stored(seq uint64) {
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], seq)
	binary.LittleEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = n.last.WriteAt(b[:], 0) // an older note is no lie
}

func readLast(root string) uint64 {
	b, err := os.ReadFile(filepath.Join(root, lastFile))
	if err != nil || len(b) < 12 || binary.LittleEndian.Uint32(b[8:]) != crc32.ChecksumIEEE(b[:8]) {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// Note writes down how far the streams are now, which blocks they have, and
// copies what has changed of their configurations. to is by stream name.
func (n *Notes) Note(to map[string]State, now time.Time) error {
	n.seen = append(n.seen, sighting{now, to})
	for len(n.seen) > 1 && now.Sub(n.seen[1].at) >= n.lag {
		n.seen = n.seen[1:]
	}
	settled := sighting{}
	if now.Sub(n.seen[0].at) >= n.lag {
		settled = n.seen[0]
	}
	return n.write(func(stream string) State {
		s := to[stream]
		if n.behind[stream] {
			s.Last = settled.to[stream].Last
		}
		return s
	}, false)
}

// Close writes down what the server has left behind after a clean stop. The server
// does not sync then what is written behind: it is done here, before the notes say
// that it is there.
func (n *Notes) Close() error {
	newest := sighting{}
	if len(n.seen) > 0 {
		newest = n.seen[len(n.seen)-1]
	}
	err := n.syncBehind()
	if err == nil {
		err = n.write(func(stream string) State { return newest.to[stream] }, true)
	}
	if closeErr := n.last.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("notes of the store: %w", closeErr)
	}
	return err
}

// Abandon leaves the notes as they are, as a crash does.
func (n *Notes) Abandon() { _ = n.last.Close() }

func (n *Notes) syncBehind() error {
	list, err := folders(n.root)
	if err != nil {
		return err
	}
	for _, f := range list {
		if !n.behind[f.stream] {
			continue
		}
		blocks, err := f.blocks()
		if err != nil {
			return err
		}
		for _, index := range blocks {
			if err := syncFile(f.block(index)); err != nil {
				return fmt.Errorf("sync stream %s: %w", f.name(), err)
			}
		}
		if err := syncDir(f.path("msgs")); err != nil {
			return fmt.Errorf("sync stream %s: %w", f.name(), err)
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (n *Notes) write(state func(stream string) State, clean bool) error {
	list, err := folders(n.root)
	if err != nil {
		return err
	}
	now := notes{Clean: clean, Streams: map[string]note{}}
	for _, f := range list {
		one := note{State: state(f.stream)}
		if one.Blocks, err = f.sizes(); err != nil {
			return err
		}
		if first, last, ok := f.indexed(); ok && clean {
			one.State = State{first, max(one.Last, last)}
		}
		now.Streams[f.name()] = one
		if err := n.keepMeta(f); err != nil {
			return err
		}
	}
	data, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("notes of the store: %w", err)
	}
	if string(data) == n.written {
		return nil
	}
	text := fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(data), data)
	if err := replace(filepath.Join(n.root, notesFile), text, clean); err != nil {
		return fmt.Errorf("notes of the store: %w", err)
	}
	n.written = string(data)
	return nil
}

// keepMeta copies a stream's configuration if it has changed.
func (n *Notes) keepMeta(f folder) error {
	info, err := os.Stat(f.path(metaFile))
	if err != nil {
		return nil // being made, or being deleted
	}
	look := fmt.Sprint(info.ModTime().UnixNano(), info.Size())
	if n.metas[f.name()] == look {
		return nil
	}
	inf, sum, ok := f.meta()
	if !ok {
		return nil // half written: next time
	}
	copied := copyOf(n.root, f)
	if known, _, ok := copied.meta(); ok && bytes.Equal(known, inf) {
		n.metas[f.name()] = look
		return nil
	}
	if err := os.MkdirAll(copied.dir, 0o750); err != nil {
		return fmt.Errorf("copy the configuration of %s: %w", f.name(), err)
	}
	for name, data := range map[string][]byte{metaFile: inf, sumFile: sum} {
		if err := replace(copied.path(name), data, true); err != nil {
			return fmt.Errorf("copy the configuration of %s: %w", f.name(), err)
		}
	}
	n.metas[f.name()] = look
	return nil
}

// copyOf is where the copy of a stream's configuration lies.
func copyOf(root string, f folder) folder {
	return folder{f.account, f.stream, filepath.Join(root, copiesDir, f.account, f.stream)}
}

// readNotes are empty if there are none; false if they are damaged.
func readNotes(root string) (notes, bool) {
	n := notes{Streams: map[string]note{}}
	text, err := os.ReadFile(filepath.Join(root, notesFile))
	if err != nil {
		return n, os.IsNotExist(err)
	}
	var sum uint32
	if len(text) < 10 {
		return n, false
	}
	if _, err := fmt.Sscanf(string(text[:8]), "%08x", &sum); err != nil {
		return n, false
	}
	data := text[9 : len(text)-1]
	if crc32.ChecksumIEEE(data) != sum {
		return n, false
	}
	var read notes
	if json.Unmarshal(data, &read) != nil || read.Streams == nil {
		return n, false
	}
	return read, true
}

// missing are the blocks that were there and are not, or are shorter than they
// were, in order.
func (n note) missing(now map[uint32]int64) (list []uint32) {
	for index, size := range n.Blocks {
		if is, ok := now[index]; !ok || is < size {
			list = append(list, index)
		}
	}
	slices.Sort(list)
	return list
}

// replace writes a file whole or not at all; synced, if it must outlive a power cut.
func replace(path string, data []byte, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone by then, if all went well
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil && sync {
		err = syncDir(filepath.Dir(path))
	}
	return err
}
