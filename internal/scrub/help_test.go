package scrub_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// world is a store with a server on it.
type world struct {
	t   *testing.T
	dir string
	b   *broker.Server
	js  jetstream.JetStream
}

func open(t *testing.T, dir string) *world {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, b: b}
	t.Cleanup(w.close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	if w.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) close() {
	if w.b != nil {
		w.b.Close()
		w.b = nil
	}
}

// limit makes the server's blocks as small as they get: 32 kB.
const limit = 120_000

var configs = map[string]jetstream.StreamConfig{
	streams.Events: streams.EventsConfig(limit), streams.Route: streams.RouteConfig(limit), streams.Done: streams.DoneConfig(limit)}

var subjects = map[string]string{streams.Events: streams.In("40", "URAL"), streams.Route: streams.Out("uralsib", streams.Normal, "40", "normal"),
	streams.Done: streams.DoneOne("uralsib", "40")}

// stored is how many messages fill makes: three blocks.
const stored = 300

func (w *world) fill(stream string) {
	w.t.Helper()
	if _, err := w.js.CreateStream(w.t.Context(), configs[stream]); err != nil {
		w.t.Fatal(err)
	}
	for i := range stored {
		w.put(stream, subjects[stream], body(uint64(i+1)))
	}
}

func (w *world) put(stream, subject, data string) {
	w.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(data)
	if stream != streams.Done {
		m.Header.Set("pos", "a.1.0.0")
	}
	if _, err := w.js.PublishMsg(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

func body(seq uint64) string {
	return fmt.Sprintf(`[{"n":%d,"text":"%s"}]`, seq, strings.Repeat("я", 90))
}

// read returns the sequences that the server hands out; a wrong body is an error.
func (w *world) read(stream string) map[uint64]bool {
	w.t.Helper()
	got := map[uint64]bool{}
	err := streams.Scan(w.t.Context(), w.js, stream, streams.From{}, func(m jetstream.Msg) error {
		seq := streams.Seq(m)
		got[seq] = true
		if string(m.Data()) != body(seq) || m.Subject() != subjects[stream] {
			w.t.Errorf("message %d of %s is handed out damaged: %s %q", seq, stream, m.Subject(), m.Data())
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) info(stream string) jetstream.StreamState {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State
}

// last is how far each stream is now.
func (w *world) last() map[string]scrub.State {
	w.t.Helper()
	last := map[string]scrub.State{}
	for name := range configs {
		if s, err := w.js.Stream(w.t.Context(), name); err == nil {
			state := s.CachedInfo().State
			last[name] = scrub.State{First: state.FirstSeq, Last: state.LastSeq}
		}
	}
	return last
}

var options = scrub.Options{Gapless: []string{streams.Events}, Behind: []string{streams.Route}, Log: zerolog.Nop()}

func check(t *testing.T, dir string) []scrub.Damage {
	t.Helper()
	r, err := scrub.Check(dir, options)
	if err != nil {
		t.Fatal(err)
	}
	return r.Damage
}

func copyStore(t *testing.T, from string) string {
	t.Helper()
	for {
		to := filepath.Join(t.TempDir(), "data")
		err := os.CopyFS(to, os.DirFS(from))
		if err == nil {
			return to
		}
		if !errors.Is(err, fs.ErrNotExist) { // else the server has just removed what was listed
			t.Fatal(err)
		}
	}
}

func folder(dir, stream string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams", stream)
}

// note keeps notes as the edge does, old enough for a stream that is written behind.
func note(t *testing.T, w *world, clean bool) {
	t.Helper()
	n, err := scrub.OpenNotes(w.dir, time.Second, streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	last := w.last()
	now := time.Now()
	for _, at := range []time.Time{now.Add(-2 * time.Second), now} {
		if err := n.Note(last, at); err != nil {
			t.Fatal(err)
		}
	}
	if last[streams.Events].Last > 0 {
		n.Stored(last[streams.Events].Last)
	}
	if clean {
		w.close()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
