package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Damage is what Check found wrong with one stream.
type Damage struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	Healed int       `json:"healed"`           // records put right, or damaged records that held no message: nothing is lost
	Lost   uint64    `json:"lost"`             // messages that are gone, at most so many
	Ranges []Range   `json:"ranges,omitempty"` // of their sequences
	Unread uint64    `json:"unread,omitempty"` // of Lost, those that nobody had read yet
	Config string    `json:"config,omitempty"` // Restored or Remade, if the stream's configuration was damaged
	Kept   string    `json:"kept,omitempty"`   // where the damaged files are, in the store
	Doubt  bool      `json:"-"`                // nothing is known to be lost, but it may be
	Told   bool      `json:"told"`             // the critical event is stored
}

// What became of a damaged configuration.
const (
	Restored = "restored" // from the copy
	Remade   = "remade"   // there was no copy: the stream begins with defaults, its messages are there
)

// Real tells whether there is something to report.
func (d Damage) Real() bool { return d.Healed > 0 || d.Lost > 0 || d.Config != "" }

// History is the damage found so far in a store, oldest first.
type History struct {
	root    string
	List    []Damage `json:"damage"`
	Pending []string `json:"pending"` // streams whose damage, or doubt, somebody has yet to make good
}

// Needs tells whether the damage of one of the streams is still to be made good.
func (h *History) Needs(streams ...string) bool {
	return slices.ContainsFunc(streams, func(s string) bool { return slices.Contains(h.Pending, s) })
}

// Lost tells whether messages of a stream are lost, and that is still to be made good.
func (h *History) Lost(stream string) bool {
	return h.Needs(stream) && slices.ContainsFunc(h.List, func(d Damage) bool { return d.Stream == stream && d.Lost > 0 && !d.Told })
}

// Untold is the first damage that has not been reported, nil if there is none.
func (h *History) Untold() *Damage {
	for i := range h.List {
		if !h.List[i].Told {
			return &h.List[i]
		}
	}
	return nil
}

// ReadHistory reads it; what cannot be read is empty.
func ReadHistory(root string) (*History, error) {
	h := &History{root: root}
	data, err := os.ReadFile(filepath.Join(root, damageFile))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, fmt.Errorf("damage found before: %w", err)
	}
	if json.Unmarshal(data, h) != nil {
		h.List, h.Pending = nil, nil // damaged itself: old damage may be told twice
	}
	return h, nil
}

// maxHistory bounds the damage remembered; EVENTS forgets what is older long before.
const maxHistory = 200

// Save writes it to the disk.
func (h *History) Save() error {
	h.List = h.List[max(0, len(h.List)-maxHistory):]
	data, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return fmt.Errorf("record the damage found: %w", err)
	}
	if err := replace(filepath.Join(h.root, damageFile), append(data, '\n'), true); err != nil {
		return fmt.Errorf("record the damage found: %w", err)
	}
	return nil
}

// without takes away what is known of a stream already.
func (h *History) without(stream string, list []Range) []Range {
	for _, d := range h.List {
		if d.Stream != stream {
			continue
		}
		for _, known := range d.Ranges {
			var left []Range
			for _, r := range list {
				left = append(left, r.minus(known)...)
			}
			list = left
		}
	}
	return list
}

func (r Range) minus(k Range) (left []Range) {
	if k.To < r.From || k.From > r.To {
		return []Range{r}
	}
	if r.From < k.From {
		left = append(left, Range{r.From, k.From - 1})
	}
	if r.To > k.To {
		left = append(left, Range{k.To + 1, r.To})
	}
	return left
}
