package scrub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// purgedDir is what is to become the folder of messages when the server is killed while it
// purges.
const purgedDir = "__new_msgs__"

// Reader reads a stream's folder without a server. It opens files for reading only: nothing
// in the folder changes, it may lie on a medium that cannot be written. What was deleted or
// purged is not handed out; what limits removed shortly before a power cut may be, as after
// such a cut the server itself has to find that out anew. A server that is writing there is
// seen as a power cut at that moment.
type Reader struct {
	folder
	// Progress, if it is set, is told how many bytes of how many have been read; everything is
	// read twice.
	Progress func(done, total uint64)
	Damage   Report // complete when Each has returned

	gapless     bool
	looked      bool
	blocks      []blockInfo
	removed     map[uint64]bool
	first       uint64 // what is before has been removed
	done, total uint64
	buf         []byte
}

// Report is what a Reader found wrong.
type Report struct {
	Holes  []Hole
	Healed int     // records put right in memory: one flipped bit each
	Lost   []Range // sequences that are missing, as far as that can be known
	Torn   int     // bytes of a record at the stream's end that was being written
}

// Hole is a place in a block file where no record can be read.
type Hole struct {
	File  string
	At    int // byte
	Bytes int
	Range Range // the sequences between its neighbours; To 0 = not known
}

// Bad tells whether something is lost.
func (r *Report) Bad() bool { return len(r.Holes) > 0 || len(r.Lost) > 0 }

type blockInfo struct {
	index uint32
	path  string
	size  int64
	last  time.Time // when the last of its messages, in time, was stored; zero = it has none
}

// Name is ACCOUNT/STREAM.
func (r *Reader) Name() string { return r.name() }

// Stream is the stream's name.
func (r *Reader) Stream() string { return r.stream }

// Open finds the streams in a store: dir may be the store's folder (of an edge or a server
// of the hub), its jetstream folder, an account's folder in that, the streams folder in that, or a stream's.
func Open(dir string) ([]*Reader, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	var list []*Reader
	for _, pattern := range []string{".", "*", "streams/*", "*/streams/*", "jetstream/*/streams/*", "*/jetstream/*/streams/*"} {
		dirs, err := filepath.Glob(filepath.Join(escape(dir), filepath.FromSlash(pattern)))
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", dir, err)
		}
		for _, d := range dirs {
			if isStream(d) {
				list = append(list, newReader(d))
			}
		}
		if len(list) > 0 {
			break
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no stream of a NATS server below %s: want the folder of store_dir, or a stream's", dir)
	}
	return list, nil
}

func isStream(dir string) bool {
	if strings.HasPrefix(filepath.Base(dir), ".") && filepath.Base(dir) != "." { // being deleted
		return false
	}
	info, err := os.Stat(filepath.Join(dir, msgsDir))
	if err == nil && info.IsDir() {
		return true
	}
	_, err = os.Stat(filepath.Join(dir, purgedDir))
	return err == nil
}

// newReader takes the stream's name from its configuration, for a copied folder may have
// another.
func newReader(dir string) *Reader {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	r := &Reader{folder: folder{filepath.Base(filepath.Dir(filepath.Dir(dir))), filepath.Base(dir), dir}, removed: map[uint64]bool{}}
	var c struct {
		Name string `json:"name"`
	}
	if inf, err := os.ReadFile(r.path(metaFile)); err == nil && json.Unmarshal(inf, &c) == nil && c.Name != "" {
		r.stream = c.Name
	}
	r.gapless = r.stream == streams.Events || r.stream == streams.EvtStream
	return r
}

// check says why the folder cannot be read.
func (r *Reader) check() error {
	why := ""
	if exists(r.path(keyFile)) {
		why = "encrypted"
	}
	var c config
	if inf, err := os.ReadFile(r.path(metaFile)); err == nil && json.Unmarshal(inf, &c) == nil && c.Compression != "" && c.Compression != "none" {
		why = "compressed"
	}
	if why != "" {
		return fmt.Errorf("stream %s is %s: start a nats-server on a copy of the store, and read from that", r.name(), why)
	}
	return nil
}

// msgsFolder is where the blocks are: a purge may have been interrupted behind the
// decision and before the server put its result into its place.
func (r *Reader) msgsFolder() string {
	entries, _ := os.ReadDir(r.path(purgedDir))
	if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".blk") }) {
		return r.path(purgedDir)
	}
	return r.path(msgsDir)
}

// Each hands out the messages in their order, as Blocks of package replay wants it. Damage
// does not end it: see Damage.
func (r *Reader) Each(ctx context.Context, since time.Time, f func(streams.Stored) error) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	for _, b := range r.blocks {
		if b.last.Before(since) { // what has no message, too
			r.progress(b.size)
			continue
		}
		err := r.walk(ctx, b, func(_ int, rec record, raw []byte) error {
			if rec.tomb || rec.dead || rec.seq == 0 || rec.seq < r.first || r.removed[rec.seq] {
				return nil
			}
			m, err := storedOf(rec, raw)
			if err != nil {
				return fmt.Errorf("stream %s, message %d: %w", r.name(), rec.seq, err)
			}
			return f(m)
		}, func(int, int) {})
		if err != nil {
			return err
		}
	}
	return nil
}

// look reads everything once, for what was removed is written down behind it, and says what
// is wrong.
func (r *Reader) look(ctx context.Context) error {
	if r.looked {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	first, last, indexed := r.indexed()
	if r.msgsFolder() != r.path(msgsDir) { // what the index is about has been purged
		first, last, indexed = 0, 0, false
	}
	r.first = first
	if err := r.list(); err != nil {
		return err
	}
	l := looking{Reader: r, at: max(first, 1) - 1, begun: indexed && first > 0}
	for i := range r.blocks {
		l.block, l.last = &r.blocks[i], i == len(r.blocks)-1
		if err := r.walk(ctx, *l.block, l.record, l.hole); err != nil {
			return err
		}
	}
	if indexed && last > l.at {
		l.gaps = append(l.gaps, Range{l.at + 1, last})
	}
	if r.gapless {
		r.Damage.Lost = l.lost()
	}
	r.looked = true
	return nil
}

// looking is the first reading.
type looking struct {
	*Reader
	block *blockInfo
	last  bool // the block is the last
	at    uint64
	begun bool // at counts
	gaps  []Range
	open  int // holes whose end is not known yet
}

func (l *looking) record(_ int, rec record, raw []byte) error {
	if rec.healed {
		l.Damage.Healed++
	}
	if rec.tomb || rec.dead {
		l.removed[rec.seq] = true
	}
	if rec.tomb || rec.seq == 0 {
		return nil
	}
	if !rec.dead {
		if at := time.Unix(0, int64(le.Uint64(raw[12:]))); at.After(l.block.last) {
			l.block.last = at
		}
	}
	for ; l.open > 0; l.open-- {
		l.Damage.Holes[len(l.Damage.Holes)-l.open].Range.To = rec.seq - 1
	}
	if l.begun && rec.seq > l.at+1 {
		l.gaps = append(l.gaps, Range{l.at + 1, rec.seq - 1})
	}
	l.at, l.begun = max(l.at, rec.seq), true
	return nil
}

// hole notes one; at the stream's end it is a record that was being written.
func (l *looking) hole(from, to int) {
	if l.last && int64(to) == l.block.size {
		l.Damage.Torn = to - from
		return
	}
	l.Damage.Holes = append(l.Damage.Holes, Hole{File: l.block.path, At: from, Bytes: to - from, Range: Range{From: l.at + 1}})
	l.open++
}

// lost are the gaps but for what was removed.
func (l *looking) lost() (list []Range) {
	removed := slices.Sorted(maps.Keys(l.removed))
	for _, g := range l.gaps {
		if g.From = max(g.From, l.first); g.To < g.From {
			continue
		}
		from, _ := slices.BinarySearch(removed, g.From)
		for _, seq := range removed[from:] {
			if seq > g.To {
				break
			}
			if seq > g.From {
				list = append(list, Range{g.From, seq - 1})
			}
			g.From = seq + 1
		}
		if g.From <= g.To {
			list = append(list, g)
		}
	}
	return list
}

// list finds the blocks.
func (r *Reader) list() error {
	dir := r.msgsFolder()
	list, err := blocksIn(dir)
	if err != nil {
		return fmt.Errorf("stream %s: %w", r.name(), err)
	}
	for _, index := range list {
		path := filepath.Join(dir, fmt.Sprintf("%d.blk", index))
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("stream %s: %w", r.name(), err)
		}
		r.blocks = append(r.blocks, blockInfo{index: index, path: path, size: info.Size()})
		r.total += uint64(2 * info.Size())
	}
	return nil
}

// walk reads a block's records.
func (r *Reader) walk(ctx context.Context, b blockInfo, each func(at int, rec record, raw []byte) error, hole func(from, to int)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	data, err := readFile(b.path, r.buf)
	if err != nil {
		return fmt.Errorf("read block: %w", err)
	}
	r.buf = data
	c, err := newCodec(r.stream, b.index)
	if err != nil {
		return err
	}
	if err := c.walk(data, func(at int, rec record) error { return each(at, rec, data[at:at+rec.size]) }, hole); err != nil {
		return err
	}
	r.progress(b.size)
	return nil
}

func (r *Reader) progress(size int64) {
	if r.done += uint64(size); r.Progress != nil {
		r.Progress(min(r.done, r.total), r.total)
	}
}

// storedOf copies a message out of its record.
func storedOf(rec record, raw []byte) (streams.Stored, error) {
	subject := headSize + int(le.Uint16(raw[20:]))
	m := streams.Stored{Subject: string(raw[headSize:subject]), Seq: rec.seq, Time: time.Unix(0, int64(le.Uint64(raw[12:]))).UTC()}
	body := raw[subject : len(raw)-sumSize]
	if le.Uint32(raw)&headersBit != 0 {
		n := int(le.Uint32(body))
		h, err := nats.DecodeHeadersMsg(body[4 : 4+n])
		if err != nil {
			return m, fmt.Errorf("headers: %w", err)
		}
		m.Header, body = h, body[4+n:]
	}
	m.Data = bytes.Clone(body)
	return m, nil
}
