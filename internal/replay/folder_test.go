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
	if _, err := s.js.CreateStream(s.t.Context(), streams.EventsConfig(400_000)); err != nil {
		s.t.Fatal(err)
	}
	for i := range n {
		if i%3 == 2 {
			publishPacked(s.t, s.js, sample(i, "Пачка", base.Add(time.Duration(i)*time.Second)), sample(i, "вторая", base.Add(time.Duration(i)*time.Second)))
			continue
		}
		publish(s.t, s.js, streams.In("40", "URAL"), sample(i, "Замятие купюры", base.Add(time.Duration(i)*time.Second)))
	}
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

// SPEC 10, issue 5: a copied store folder shows what the server shows, whatever was removed
// from it, and is not changed.
func TestFolderIsWhatTheServerSays(t *testing.T) {
	t.Parallel()
	const n = 600
	for name, change := range map[string]func(context.Context, jetstream.Stream) error{
		"whole": func(context.Context, jetstream.Stream) error { return nil },
		"front removed": func(ctx context.Context, s jetstream.Stream) error {
			return s.Purge(ctx, jetstream.WithPurgeSequence(333))
		},
		"messages deleted": func(ctx context.Context, s jetstream.Stream) error {
			for _, seq := range []uint64{1, 2, 100, 101, 250, n - 1, n} {
				if err := s.DeleteMsg(ctx, seq); err != nil {
					return err
				}
			}
			return nil
		},
		"messages erased": func(ctx context.Context, s jetstream.Stream) error {
			for _, seq := range []uint64{1, 99, 100, 250, n} {
				if err := s.SecureDeleteMsg(ctx, seq); err != nil {
					return err
				}
			}
			return nil
		},
		"subject purged": func(ctx context.Context, s jetstream.Stream) error {
			return s.Purge(ctx, jetstream.WithPurgeSubject(streams.InBatch))
		},
		"all purged": func(ctx context.Context, s jetstream.Stream) error { return s.Purge(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, t.TempDir())
			s.fill(n)
			stream, err := s.js.Stream(t.Context(), streams.Events)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(t.Context(), stream); err != nil {
				t.Fatal(err)
			}
			want := read(t, replay.Stream{JS: s.js, Name: streams.Events}, replay.Query{})
			if name == "whole" && len(want) != n*4/3 {
				t.Fatalf("the server has %d events", len(want))
			}
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
