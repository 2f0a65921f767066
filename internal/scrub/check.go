package scrub

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// Options of Check.
type Options struct {
	// Gapless are the streams of which nothing but the front is ever removed.
	Gapless []string
	// Behind are the streams that are written to the disk only after they are
	// acknowledged: a power cut may leave holes near their end.
	Behind []string
	Log    zerolog.Logger
}

// Result of a Check.
type Result struct {
	Damage []Damage
	Blocks int
	Bytes  int64
	Took   time.Duration
}

// Check looks through the store below root, puts right what it can, and says what
// is lost. No server may be running on it. It may be repeated: damage that it has
// dealt with is gone. A store that is not there yet is whole.
func Check(root string, o Options) (*Result, error) {
	began := time.Now()
	history, err := ReadHistory(root)
	if err != nil {
		return nil, err
	}
	c := &check{Options: o, root: root, history: history, kept: filepath.Join(damagedDir, began.UTC().Format("20060102T150405.000Z"))}
	var good bool
	if c.notes, good = readNotes(root); !good {
		o.Log.Warn().Msg("the notes on the store are damaged: a loss at a stream's end may go unnoticed this time")
	}
	streams, err := c.streams()
	if err != nil {
		return nil, err
	}
	if err := c.read(streams); err != nil {
		return nil, err
	}
	res := &Result{Blocks: int(c.blocks.Load()), Bytes: c.bytes.Load()}
	for _, s := range streams {
		if d := c.judge(s); d.Real() || d.Doubt {
			d.Time, d.Stream = began.UTC(), s.stream
			if s.mends() || s.config != "" {
				d.Kept = c.kept
			}
			res.Damage = append(res.Damage, d)
		}
	}
	if err := c.mend(streams, res.Damage); err != nil {
		return nil, err
	}
	res.Took = time.Since(began)
	return res, nil
}

type check struct {
	Options
	root    string
	kept    string // where damaged files go, below root
	history *History
	notes   notes
	blocks  atomic.Int64
	bytes   atomic.Int64
}

// stream is one that is looked through.
type stream struct {
	folder
	note   note
	noted  bool
	config string // what becomes of its configuration, "" = it is good
	torn   bool   // its configuration is there in part, or not at all
	blind  bool   // its blocks cannot be read here
	blocks []*block
}

// streams lists what there is, and what the notes say there should be.
func (c *check) streams() ([]*stream, error) {
	list, err := folders(c.root)
	if err != nil {
		return nil, err
	}
	for name := range c.notes.Streams {
		if f := at(c.root, name); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b folder) int { return compare(a.name(), b.name()) })
	var all []*stream
	for _, f := range list {
		s := &stream{folder: f}
		s.note, s.noted = c.notes.Streams[f.name()]
		if inf := c.configOf(s); inf != nil {
			if why := f.unreadable(inf); why != "" {
				s.blind = true
				c.Log.Warn().Str("stream", f.name()).Str("because", why).Msg("stream not looked through for damage")
			}
		}
		all = append(all, s)
	}
	return all, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// configOf is the stream's configuration, from the copy if it is damaged, nil if
// that is, too.
func (c *check) configOf(s *stream) []byte {
	inf, _, ok := s.meta()
	if ok {
		return inf
	}
	s.torn = s.tornMeta()
	if inf, _, ok = copyOf(c.root, s.folder).meta(); ok {
		s.config = Restored
		return inf
	}
	s.config = Remade
	return nil
}

// job is a block to be read.
type job struct {
	s     *stream
	index uint32
}

// read reads all blocks, several at a time.
func (c *check) read(streams []*stream) error {
	var jobs []job
	for _, s := range streams {
		if s.blind {
			continue
		}
		list, err := s.folder.blocks()
		if err != nil {
			return err
		}
		s.blocks = make([]*block, 0, len(list))
		for _, index := range list {
			jobs = append(jobs, job{s, index})
		}
	}
	stop := c.progress(len(jobs))
	defer stop()
	todo := make(chan job)
	var mu sync.Mutex // guards the blocks of all streams, and failed
	var failed error
	var wg sync.WaitGroup
	for range min(len(jobs), runtime.GOMAXPROCS(0), 4) {
		wg.Go(func() {
			var buf []byte
			for j := range todo {
				b, used, err := readBlock(j.s.stream, j.index, j.s.block(j.index), buf)
				buf = used
				c.blocks.Add(1)
				c.bytes.Add(int64(len(used)))
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("stream %s: %w", j.s.name(), err))
				} else {
					j.s.blocks = append(j.s.blocks, b)
				}
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	wg.Wait()
	for _, s := range streams {
		slices.SortFunc(s.blocks, func(a, b *block) int { return int(a.index) - int(b.index) })
	}
	return failed
}

// progressEvery is how often a long Check says how far it is.
const progressEvery = 5 * time.Second

func (c *check) progress(blocks int) (stop func()) {
	tick := time.NewTicker(progressEvery)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-tick.C:
				c.Log.Info().Int64("blocks", c.blocks.Load()).Int("of", blocks).Int64("bytes", c.bytes.Load()).Msg("looking through the store for damage")
			case <-done:
				return
			}
		}
	})
	return func() { tick.Stop(); close(done); wg.Wait() }
}
