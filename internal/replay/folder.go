package replay

import (
	"context"
	"errors"
	"time"

	"vestnik/streams"
)

// Blocks is a stream's folder that no server has open (package scrub).
type Blocks interface {
	// Each hands out the messages stored from since on, zero = all, and may hand out others.
	Each(ctx context.Context, since time.Time, f func(streams.Stored) error) error
}

// Folder is the source that a copied store is.
type Folder struct {
	Blocks Blocks
	Name   string // of the stream
}

var errFolderFollowed = errors.New("a copied store cannot be followed")

// Read hands out what the folder has. It does not grow: follow is an error.
func (s Folder) Read(ctx context.Context, q Query, follow bool, f func(Record) error) error {
	if follow {
		return errFolderFollowed
	}
	since, _ := stored(s.Name, q)
	e, p := newEnds(s.Name, q), parser{lines: q.takesLines()}
	err := s.Blocks.Each(ctx, since, func(m streams.Stored) error {
		list, err := p.parse(m.Header, m.Data)
		if err != nil {
			return nil //nolint:nilerr // no event of ours
		}
		return hand(list, Record{Edge: edgeOf(m.Subject), Stream: s.Name, Seq: m.Seq, Stored: m.Time}, e, f)
	})
	if errors.Is(err, streams.ErrEnough) {
		return nil
	}
	return err
}
