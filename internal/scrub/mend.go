package scrub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// mendStream writes anew the damaged blocks and the configuration of a stream.
func (c *check) mendStream(s *stream) error {
	if s.config != "" {
		if err := c.mendConfig(s); err != nil {
			return fmt.Errorf("mend the configuration of stream %s: %w", s.name(), err)
		}
	}
	if !s.mends() {
		return nil
	}
	if err := os.MkdirAll(c.dir(s), 0o750); err != nil {
		return fmt.Errorf("mend stream %s: %w", s.name(), err)
	}
	// Without its index the server reads every block anew, and learns what they hold now.
	if err := c.aside(s, s.msgs(indexFile)); err != nil {
		return fmt.Errorf("mend stream %s: %w", s.name(), err)
	}
	for _, b := range s.blocks {
		if b.fixed == nil && !s.emptied(b) {
			continue
		}
		if err := c.mendBlock(s, b); err != nil {
			return fmt.Errorf("mend stream %s, block %d: %w", s.name(), b.index, err)
		}
	}
	return nil
}

// mendBlock keeps the block as it is under a second name, and renames the good
// one over it.
func (c *check) mendBlock(s *stream, b *block) error {
	if b.empty {
		return c.aside(s, b.path)
	}
	name := filepath.Base(b.path)
	kept, fresh := filepath.Join(c.dir(s), name), filepath.Join(c.dir(s), name+".new")
	if err := replace(fresh, b.fixed, true); err != nil {
		return err
	}
	if err := os.Link(b.path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := copyFile(b.path, kept); err != nil { // a file system without links
			return err
		}
	}
	if err := os.Rename(fresh, b.path); err != nil {
		return err
	}
	c.Log.Warn().Str("stream", s.name()).Uint32("block", b.index).Int("healed", b.healed).Int("holes", len(b.holes)).Str("kept", kept).
		Msg("damaged block written anew")
	return syncDir(filepath.Dir(b.path))
}

// mendConfig puts the copy in the place of the configuration. Without a copy the
// damaged one is taken away: who makes the stream anew finds its messages there.
func (c *check) mendConfig(s *stream) error {
	inf, sum, ok := copyOf(c.root, s.folder).meta()
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir(s), 0o750); err != nil {
		return err
	}
	for _, name := range []string{metaFile, sumFile} {
		if err := c.aside(s, s.path(name)); err != nil {
			return err
		}
	}
	c.Log.Error().Str("stream", s.name()).Bool("copy", ok).Str("kept", c.dir(s)).Msg("the configuration of a stream was damaged")
	if !ok {
		return nil
	}
	if err := replace(s.path(metaFile), inf, true); err != nil {
		return err
	}
	return replace(s.path(sumFile), sum, true)
}

// aside moves a file, if it is there, to where damaged files are kept.
func (c *check) aside(s *stream, path string) error {
	err := os.Rename(path, filepath.Join(c.dir(s), filepath.Base(path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return replace(to, data, true)
}
