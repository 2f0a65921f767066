package scrub_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/scrub"
	"vestnik/streams"
)

// A kind of damage, done to a stream's folder.
type kind struct {
	name   string
	heals  bool // nothing may be lost
	silent bool // nothing need be said
	do     func(t *testing.T, dir string)
}

func flip(name string, at int, mask byte) func(*testing.T, string) {
	return change(name, func(data []byte) []byte {
		if at < 0 {
			at += len(data)
		}
		data[at] ^= mask
		return data
	})
}

func change(name string, f func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// kinds are the damages of a stream of three blocks.
func kinds(stream string) []kind {
	var list []kind
	for i := 1; i <= 3; i++ {
		if i == 2 && os.Getenv("VESTNIK_LONG") == "" {
			continue // much like the first
		}
		blk := fmt.Sprintf("msgs/%d.blk", i)
		list = append(list,
			kind{name: fmt.Sprintf("flip in the sequence, block %d", i), heals: true, do: flip(blk, 5, 1)},
			kind{name: fmt.Sprintf("flip in the length, block %d", i), heals: true, do: flip(blk, 1, 4)},
			kind{name: fmt.Sprintf("flip of has headers, block %d", i), heals: true, do: flip(blk, 3, 0x80)},
			kind{name: fmt.Sprintf("flip in the subject's length, block %d", i), heals: true, do: flip(blk, 20, 1)},
			kind{name: fmt.Sprintf("flip in the headers' length, block %d", i), heals: true, do: flip(blk, 22+len(subjects[stream]), 2)},
			kind{name: fmt.Sprintf("flip in a body, block %d", i), heals: true, do: flip(blk, 10000, 16)},
			kind{name: fmt.Sprintf("flip in the last checksum, block %d", i), heals: true, do: flip(blk, -3, 1)},
			kind{name: fmt.Sprintf("two bytes of a body, block %d", i), do: change(blk, func(d []byte) []byte { d[10000] ^= 3; d[10010] ^= 5; return d })},
			kind{name: fmt.Sprintf("4 KiB of zeros, block %d", i), do: change(blk, func(d []byte) []byte { clear(d[4096:8192]); return d })},
			kind{name: fmt.Sprintf("cut short, block %d", i), do: change(blk, func(d []byte) []byte { return d[:len(d)-5000] })},
			kind{name: fmt.Sprintf("all zeros, block %d", i), do: change(blk, func(d []byte) []byte { clear(d); return d })},
			kind{name: fmt.Sprintf("empty, block %d", i), do: change(blk, func(d []byte) []byte { return d[:0] })},
			kind{name: fmt.Sprintf("block %d removed", i), do: remove(blk)})
	}
	return append(list,
		kind{name: "flip in meta.inf", heals: true, do: flip("meta.inf", 20, 1)},
		kind{name: "meta.inf removed", heals: true, do: remove("meta.inf")},
		kind{name: "flip in meta.sum", heals: true, do: flip("meta.sum", 3, 1)},
		kind{name: "meta.sum cut short", heals: true, do: change("meta.sum", func(d []byte) []byte { return d[:4] })},
		kind{name: "zeros behind the end", heals: true, silent: true, do: change("msgs/3.blk", func(d []byte) []byte { return append(d, make([]byte, 4096)...) })},
		kind{name: "a torn record behind the end", heals: true, silent: true, do: change("msgs/3.blk", func(d []byte) []byte { return append(d, d[:200]...) })},
		kind{name: "nothing", heals: true, silent: true, do: func(*testing.T, string) {}})
}

// Every kind of damage, in each stream, behind a clean stop and behind kill -9:
// the server hands out nothing that was not stored, what is missing is told by its
// numbers, and what has been told is not told again.
func TestDamage(t *testing.T) {
	t.Parallel()
	w := open(t, filepath.Join(t.TempDir(), "data"))
	for stream := range configs {
		w.fill(stream)
	}
	note(t, w, false)
	killed := copyStore(t, w.dir)
	for end := time.Now().Add(10 * time.Second); len(check(t, killed)) > 0 && time.Now().Before(end); { // ROUTE is written behind
		killed = copyStore(t, w.dir)
	}
	note(t, w, true)
	for how, from := range map[string]string{"clean": w.dir, "killed": killed} {
		for stream := range configs {
			for _, k := range kinds(stream) {
				if stream == streams.Done && k.name[:min(20, len(k.name))] == "flip in the headers'" {
					continue // has none
				}
				t.Run(how+"/"+stream+"/"+k.name, func(t *testing.T) {
					t.Parallel()
					damage(t, from, stream, k, how == "clean")
				})
			}
		}
	}
}

func damage(t *testing.T, from, stream string, k kind, clean bool) {
	dir := copyStore(t, from)
	k.do(t, folder(dir, stream))
	found := check(t, dir)
	w := open(t, dir)
	before := w.info(stream).Msgs
	got := w.read(stream)
	lost := missing(got)
	if before != uint64(stored-len(lost)) {
		t.Errorf("the server counts %d messages and has %d", before, stored-len(lost))
	}
	switch {
	case k.silent, !clean && strings.Contains(k.name, "meta.") && (stream == streams.Route || !strings.HasPrefix(k.name, "flip")): // put right; a power cut does the like
		if len(found) > 0 {
			t.Errorf("reported: %+v", found)
		}
	case len(found) != 1 || found[0].Stream != stream:
		t.Fatalf("reported: %+v", found)
	case found[0].Doubt && !found[0].Real():
		if clean || stream == streams.Events {
			t.Errorf("in doubt: %+v", found)
		}
	case len(lost) > 0 && (found[0].Lost < uint64(len(lost)) || !covers(found[0].Ranges, lost)):
		t.Errorf("%d messages are missing, %v; reported: %+v", len(lost), lost, found[0])
	case len(lost) == 0 && found[0].Lost > 0:
		t.Errorf("nothing is missing; reported: %+v", found[0])
	}
	if k.heals && len(lost) > 0 {
		t.Errorf("%d messages are missing, %v", len(lost), lost)
	}
	if len(lost) > stored/2 {
		t.Errorf("%d of %d messages are missing: more than one block", len(lost), stored)
	}
	w.put(stream, subjects[stream], "[]")
	note(t, w, false)
	w.close()
	for _, d := range check(t, dir) {
		if d.Real() {
			t.Errorf("reported again: %+v", d)
		}
	}
}

func missing(got map[uint64]bool) (lost []uint64) {
	for seq := uint64(1); seq <= stored; seq++ {
		if !got[seq] {
			lost = append(lost, seq)
		}
	}
	return lost
}

func covers(ranges []scrub.Range, lost []uint64) bool {
	for _, seq := range lost {
		if !slices.ContainsFunc(ranges, func(r scrub.Range) bool { return r.From <= seq && seq <= r.To }) {
			return false
		}
	}
	return true
}

// Whatever the server does to its own files, they are not taken for damaged.
func TestServersOwnFiles(t *testing.T) {
	t.Parallel()
	w := open(t, filepath.Join(t.TempDir(), "data"))
	for stream := range configs {
		w.fill(stream)
	}
	kv, err := w.js.CreateKeyValue(t.Context(), streams.ControlConfig())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if _, err := kv.PutString(t.Context(), "all", fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := kv.Delete(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	looks := func(what string) {
		t.Helper()
		for _, d := range check(t, copyStore(t, w.dir)) {
			if d.Real() { // a block that is gone is in doubt, it may have been removed
				t.Errorf("%s: %+v", what, d)
			}
		}
		note(t, w, false)
	}
	looks("filled")
	for _, p := range []struct {
		stream string
		opts   []jetstream.StreamPurgeOpt
	}{
		{streams.Events, []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(50)}},
		{streams.Events, []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(170)}},
		{streams.Route, []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject("out.>"), jetstream.WithPurgeSequence(60)}},
		{streams.Done, []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject("done.>"), jetstream.WithPurgeKeep(3)}},
		{streams.Events, nil},
		{streams.Done, nil},
	} {
		s, err := w.js.Stream(t.Context(), p.stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Purge(t.Context(), p.opts...); err != nil {
			t.Fatal(err)
		}
		looks("purged " + p.stream)
		w.put(p.stream, subjects[p.stream], "[]")
		looks("stored in " + p.stream)
	}
	w.close()
	if found := check(t, w.dir); len(found) > 0 {
		t.Errorf("stopped: %+v", found)
	}
	w = open(t, w.dir)
	for _, stream := range slices.Sorted(maps.Keys(configs)) {
		w.put(stream, subjects[stream], "[]")
	}
	looks("opened again")
}
