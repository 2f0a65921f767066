package replay_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/event"
	"vestnik/internal/replay"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// store is a server on a folder.
type store struct {
	t   *testing.T
	dir string
	b   *broker.Server
	js  jetstream.JetStream
}

func openStore(t *testing.T, dir string) *store {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	s := &store{t: t, dir: dir, b: b}
	t.Cleanup(s.close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) close() {
	if s.b != nil {
		s.b.Close()
		s.b = nil
	}
}

// fill makes EVENTS with small blocks: n messages, every third of them packed.
func (s *store) fill(n int) {
	s.t.Helper()
	makeEvents(s.t, s.js)
	for i := range n {
		if i%3 == 2 {
			later(s.t, s.js, packed(sample(i, "Пачка", base.Add(time.Duration(i)*time.Second)), sample(i, "вторая", base.Add(time.Duration(i)*time.Second))))
			continue
		}
		e := sample(i, "Замятие купюры", base.Add(time.Duration(i)*time.Second))
		later(s.t, s.js, header(e, streams.In("40", "URAL"), e.Raw))
	}
	stored(s.t, s.js)
}

// read collects what a source has as lines.
func read(t *testing.T, s replay.Source, q replay.Query) []string {
	t.Helper()
	var list []string
	err := replay.Read(t.Context(), s, q, false, func(r replay.Record) error {
		list = append(list, fmt.Sprintf("%d/%d %s %s", r.Seq, r.Index, r.Edge, event.AppendJSON(nil, r.Event)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func folderOf(t *testing.T, dir string) (replay.Folder, *scrub.Reader) {
	t.Helper()
	list, err := scrub.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Stream() == streams.Events {
			return replay.Folder{Blocks: r, Name: r.Stream()}, r
		}
	}
	t.Fatal("no EVENTS in", dir)
	return replay.Folder{}, nil
}

// sums are those of all files.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		list[path] = fmt.Sprint(info.Mode(), info.ModTime())
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			list[path] += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// waitGone waits until the server has removed what a purge left.
func waitGone(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // between two looks
		if _, err := os.Stat(dir); os.IsNotExist(err) {
			return
		}
		if time.Now().After(end) {
			t.Fatal(dir, "is still there")
		}
	}
}

// SPEC 10, issue 5: a copied store folder shows what the server shows, whatever was removed
// from it, and is not changed.
func TestFolderIsWhatTheServerSays(t *testing.T) {
	t.Parallel()
	const n = 600
	for name, change := range map[string]func(context.Context, jetstream.JetStream, jetstream.Stream) error{
		"whole": func(context.Context, jetstream.JetStream, jetstream.Stream) error { return nil },
		"front removed": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error {
			return s.Purge(ctx, jetstream.WithPurgeSequence(333))
		},
		"messages deleted": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error {
			for _, seq := range []uint64{1, 2, 100, 101, 250, n - 1, n} {
				if err := s.DeleteMsg(ctx, seq); err != nil {
					return err
				}
			}
			return nil
		},
		"messages erased": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error {
			for _, seq := range []uint64{1, 99, 100, 250, n} {
				if err := s.SecureDeleteMsg(ctx, seq); err != nil {
					return err
				}
			}
			return nil
		},
		"subject purged": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error {
			return s.Purge(ctx, jetstream.WithPurgeSubject(streams.InBatch))
		},
		"limited": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error {
			c := streams.EventsConfig(16 << 20)
			c.Discard, c.MaxMsgs = jetstream.DiscardOld, 100
			_, err := js.UpdateStream(ctx, c)
			return err
		},
		"all purged": func(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) error { return s.Purge(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, t.TempDir())
			s.fill(n)
			stream, err := s.js.Stream(t.Context(), streams.Events)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(t.Context(), s.js, stream); err != nil {
				t.Fatal(err)
			}
			want := read(t, replay.Stream{JS: s.js, Name: streams.Events}, replay.Query{})
			if name == "whole" && len(want) != n*4/3 {
				t.Fatalf("the server has %d events", len(want))
			}
			waitGone(t, filepath.Join(s.dir, "jetstream", "$G", "streams", "EVENTS", "__msgs__"))
			// As a power cut leaves it: the server's own state is of before.
			cut := filepath.Join(t.TempDir(), "cut")
			if err := os.CopyFS(cut, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			s.close()
			for what, dir := range map[string]string{"stopped": s.dir, "cut": cut, "stream's folder": filepath.Join(s.dir, "jetstream", "$G", "streams", "EVENTS")} {
				was := sums(t, dir)
				f, r := folderOf(t, dir)
				got := read(t, f, replay.Query{})
				if name == "limited" && what == "cut" { // the server finds that out anew at its start
					got = got[max(len(got)-len(want), 0):]
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", what, d)
				}
				if r.Damage.Bad() || r.Damage.Healed > 0 || r.Damage.Torn > 0 {
					t.Errorf("%s: damage %+v", what, r.Damage)
				}
				if d := cmp.Diff(was, sums(t, dir)); d != "" {
					t.Errorf("%s: the folder has changed: %s", what, d)
				}
			}
		})
	}
}

// DESIGN fact 7: damage is told, and what is good is shown; the files stay as they are.
func TestFolderDamaged(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	s.fill(300)
	want := read(t, replay.Stream{JS: s.js, Name: streams.Events}, replay.Query{})
	s.close()
	msgs := filepath.Join(s.dir, "jetstream", "$G", "streams", "EVENTS", "msgs")
	blocks, err := filepath.Glob(filepath.Join(msgs, "*.blk"))
	if err != nil || len(blocks) < 3 {
		t.Fatal(len(blocks), err)
	}
	change := func(t *testing.T, file string, f func([]byte) []byte) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "jetstream", "$G", "streams", "EVENTS", "msgs", file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if data = f(data); data == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, c := range map[string]struct {
		file string
		f    func([]byte) []byte
		good func(got []string, r scrub.Report) bool
	}{
		"a flipped bit": {"2.blk", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, func(got []string, r scrub.Report) bool {
			return len(got) == len(want) && r.Healed == 1 && !r.Bad()
		}},
		"overwritten": {"2.blk", func(b []byte) []byte { copy(b[len(b)/2:], make([]byte, 100)); return b }, func(got []string, r scrub.Report) bool {
			return len(got) < len(want) && len(got) >= len(want)-4 && len(r.Holes) == 1 && len(r.Lost) == 1 && r.Bad() &&
				r.Holes[0].Range == r.Lost[0]
		}},
		"a block missing": {"2.blk", func([]byte) []byte { return nil }, func(got []string, r scrub.Report) bool {
			return len(got) < len(want) && len(r.Lost) == 1 && len(r.Holes) == 0
		}},
		"the first block missing": {"1.blk", func([]byte) []byte { return nil }, func(got []string, r scrub.Report) bool {
			return len(got) < len(want) && len(r.Lost) == 1 && r.Lost[0].From == 1
		}},
		"cut in a record": {filepath.Base(blocks[len(blocks)-1]), func(b []byte) []byte { return b[:len(b)-7] }, func(got []string, r scrub.Report) bool {
			return len(got) < len(want) && r.Torn > 0 && len(r.Holes) == 0
		}},
		"the state file damaged": {"index.db", func(b []byte) []byte { b[5] ^= 1; return b }, func(got []string, r scrub.Report) bool {
			return len(got) == len(want) && !r.Bad()
		}},
		"an empty block": {"2.blk", func([]byte) []byte { return []byte{} }, func(got []string, r scrub.Report) bool {
			return len(got) < len(want) && len(r.Lost) == 1
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := change(t, c.file, c.f)
			was := sums(t, dir)
			f, r := folderOf(t, dir)
			got := read(t, f, replay.Query{})
			if !c.good(got, r.Damage) {
				t.Errorf("%d of %d events, damage %+v", len(got), len(want), r.Damage)
			}
			all := map[string]bool{}
			for _, e := range want {
				all[e] = true
			}
			for _, e := range got {
				if !all[e] {
					t.Errorf("nobody stored %s", e)
				}
			}
			if d := cmp.Diff(was, sums(t, dir)); d != "" {
				t.Errorf("the folder has changed: %s", d)
			}
		})
	}
}

// A purge that was interrupted behind its decision has removed all.
func TestFolderPurging(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	s.fill(30)
	s.close()
	dir := filepath.Join(s.dir, "jetstream", "$G", "streams", "EVENTS")
	if err := os.Mkdir(filepath.Join(dir, "__new_msgs__"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, _ := folderOf(t, s.dir)
	if got := read(t, f, replay.Query{}); len(got) != 40 {
		t.Errorf("not decided yet: %d events", len(got))
	}
	if err := os.WriteFile(filepath.Join(dir, "__new_msgs__", "9.blk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, r := folderOf(t, s.dir)
	if got := read(t, f, replay.Query{}); len(got) != 0 || r.Damage.Bad() {
		t.Errorf("decided: %d events, %+v", len(got), r.Damage)
	}
}

func TestOpenNothing(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "no")} {
		if list, err := scrub.Open(dir); err == nil {
			t.Error(list)
		}
	}
}
