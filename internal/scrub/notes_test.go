package scrub_test

import (
	"os"
	"path/filepath"
	"testing"

	"vestnik/streams"
)

// Damage to our own notes is no damage to the store, and hides none that lies in the
// middle of a stream.
func TestDamagedNotes(t *testing.T) {
	t.Parallel()
	w := open(t, filepath.Join(t.TempDir(), "data"))
	w.fill(streams.Events)
	note(t, w, true)
	for _, name := range []string{"vestnik.notes", "vestnik.last"} {
		for what, f := range map[string]func([]byte) []byte{
			"flipped": func(d []byte) []byte { d[5] ^= 1; return d },
			"cut":     func(d []byte) []byte { return d[:3] },
			"empty":   func(d []byte) []byte { return nil },
		} {
			dir := copyStore(t, w.dir)
			change(name, f)(t, dir)
			if found := check(t, dir); len(found) > 0 {
				t.Errorf("%s %s: reported: %+v", name, what, found)
			}
			if err := os.Remove(filepath.Join(folder(dir, streams.Events), "msgs", "2.blk")); err != nil {
				t.Fatal(err)
			}
			if found := check(t, dir); len(found) != 1 || found[0].Lost == 0 {
				t.Errorf("%s %s: a block is gone, reported: %+v", name, what, found)
			}
		}
	}
}

// A stream whose making was cut off by a power cut has a configuration without a
// checksum: the server would not see it, and would make it anew at every start.
func TestHalfMadeStream(t *testing.T) {
	t.Parallel()
	w := open(t, filepath.Join(t.TempDir(), "data"))
	w.fill(streams.Events)
	w.close()
	remove("meta.sum")(t, folder(w.dir, streams.Events))
	for range 2 {
		check(t, w.dir)
		w = open(t, w.dir)
		if _, err := w.js.Stream(t.Context(), streams.Events); err != nil {
			if _, err := w.js.CreateStream(t.Context(), configs[streams.Events]); err != nil {
				t.Fatal(err)
			}
		}
		w.close()
	}
	w = open(t, w.dir)
	if lost := missing(w.read(streams.Events)); len(lost) > 0 {
		t.Errorf("%d messages are missing", len(lost))
	}
	if found := check(t, copyStore(t, w.dir)); len(found) > 0 {
		t.Errorf("reported again: %+v", found)
	}
}
