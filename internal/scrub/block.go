package scrub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Range is a range of sequences, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

func (r Range) count() uint64 { return r.To - r.From + 1 }

// block is what a block file holds.
type block struct {
	index       uint32
	path        string
	size        int64
	empty       bool    // no record at all
	first, last uint64  // sequences of its messages and tombstones; last = the highest
	gaps        []Range // between its messages
	holes       []hole  // where it is damaged
	healed      int     // records put right
	fixed       []byte  // what the file must become, if it has holes or healed records
}

// hole is a place where no record can be read.
type hole struct {
	before uint64 // the highest sequence before it, 0 = none
	after  uint64 // the next one in the block, 0 = it reaches to the block's end
	bytes  int
}

// most is how many messages a hole can have held; no limit where the block ends
// with it, as it may have been longer.
func (h hole) most() uint64 {
	if h.after == 0 {
		return 1 << 63
	}
	return uint64(h.bytes/minRecord) + 1
}

// readBlock reads a block file; buf is used if it is large enough.
func readBlock(stream string, index uint32, path string, buf []byte) (*block, []byte, error) {
	data, err := readFile(path, buf)
	if err != nil {
		return nil, buf, fmt.Errorf("read block: %w", err)
	}
	c, err := newCodec(stream, index)
	if err != nil {
		return nil, data, err
	}
	b := &block{index: index, path: path, size: int64(len(data)), empty: true}
	b.scan(c, data)
	return b, data, nil
}

func readFile(path string, buf []byte) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return buf, err
	}
	if int64(cap(buf)) < info.Size() {
		buf = make([]byte, info.Size())
	}
	buf = buf[:info.Size()]
	if _, err := f.ReadAt(buf, 0); err != nil && len(buf) > 0 {
		return buf, err
	}
	return buf, nil
}

// scan goes through the records. From the first damage on it gathers what is good.
func (b *block) scan(c *codec, data []byte) {
	var good []byte
	damaged := false
	spoil := func(at int) {
		if !damaged {
			damaged, good = true, append(make([]byte, 0, len(data)), data[:at]...)
		}
	}
	_ = c.walk(data, func(at int, r record) error { // no error of ours
		if r.healed {
			spoil(at)
			b.healed++
		}
		if damaged {
			good = append(good, data[at:at+r.size]...)
		}
		b.take(r)
		return nil
	}, func(from, to int) {
		spoil(from)
		b.holes = append(b.holes, hole{before: b.last, bytes: to - from})
	})
	if damaged {
		b.fixed = good
	}
}

// walk goes through the records of a block and puts right, in data, what can be put right.
// Where nothing can be read it says from where to where, and goes on behind.
func (c *codec) walk(data []byte, each func(at int, r record) error, hole func(from, to int)) error {
	for at := 0; at < len(data); {
		r, ok := c.parse(data[at:])
		if !ok {
			r, ok = c.heal(data[at:])
			r.healed = ok
		}
		if !ok {
			next := c.next(data, at+1)
			hole(at, next)
			at = next
			continue
		}
		if err := each(at, r); err != nil {
			return err
		}
		at += r.size
	}
	return nil
}

// take counts a record.
func (b *block) take(r record) {
	b.empty = false
	if r.seq == 0 {
		return
	}
	for i := len(b.holes) - 1; i >= 0 && b.holes[i].after == 0 && !r.tomb; i-- {
		b.holes[i].after = r.seq
	}
	if r.tomb {
		b.last = max(b.last, r.seq)
		return
	}
	if b.first == 0 {
		b.first = r.seq
	} else if r.seq > b.last+1 {
		b.gaps = append(b.gaps, Range{b.last + 1, r.seq - 1})
	}
	b.last = max(b.last, r.seq)
}

// next finds where the records go on, len(data) if nowhere.
func (c *codec) next(data []byte, from int) int {
	for at := from; at+minRecord <= len(data); at++ {
		if _, ok := c.parse(data[at:]); ok {
			return at
		}
	}
	return len(data)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
