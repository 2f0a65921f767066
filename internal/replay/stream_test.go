package replay_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/highwayhash"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/internal/replay"
	"vestnik/streams"
)

// restamp writes other times of storing into a stopped store's EVENTS: message seq was
// stored at at(seq).
func restamp(t *testing.T, dir string, at func(seq uint64) time.Time) {
	t.Helper()
	msgs := filepath.Join(dir, "jetstream", "$G", "streams", "EVENTS", "msgs")
	files, err := filepath.Glob(filepath.Join(msgs, "*.blk"))
	if err != nil || len(files) < 3 {
		t.Fatal(len(files), "blocks", err)
	}
	le := binary.LittleEndian
	for _, file := range files {
		var index int
		if _, err := fmt.Sscanf(filepath.Base(file), "%d.blk", &index); err != nil {
			t.Fatal(err)
		}
		key := sha256.Sum256(fmt.Appendf(nil, "EVENTS-%d", index))
		h, err := highwayhash.NewDigest64(key[:])
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for rec := data; len(rec) > 0; {
			size, subject := int(le.Uint32(rec)&^(1<<31)), int(le.Uint16(rec[20:]))
			le.PutUint64(rec[12:], uint64(at(le.Uint64(rec[4:])&^(3<<62)).UnixNano()))
			h.Reset()
			rest := 22 + subject
			if le.Uint32(rec)&(1<<31) != 0 {
				rest += 4
			}
			for _, part := range [][]byte{rec[4:20], rec[22 : 22+subject], rec[rest : size-8]} {
				_, _ = h.Write(part)
			}
			copy(rec[size-8:], h.Sum(nil))
			rec = rec[size:]
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(msgs, "index.db")); err != nil {
		t.Fatal(err)
	}
}

// SPEC 10, windows: whatever the clock did, a window shows what was received in it, at its
// borders to the millisecond, packed messages included; the folder shows the same.
func TestWindowsAndClocks(t *testing.T) {
	t.Parallel()
	const n = 1500
	// clock tells at what time message i was received, and stored a moment later.
	second := func(i int) time.Time { return base.Add(time.Duration(i) * time.Second) }
	for name, clock := range map[string]func(i int) time.Time{
		"steady":   second,
		"set back": func(i int) time.Time { return second(i - i/700*400) },
		"far ahead, then put right": func(i int) time.Time {
			if i > 400 && i < 800 {
				return second(i + 100_000)
			}
			return second(i)
		},
		"set back by years": func(i int) time.Time {
			if i > 1000 {
				return second(i).AddDate(-3, 0, 0)
			}
			return second(i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, t.TempDir())
			makeEvents(t, s.js)
			var all []*event.Event
			for i := 0; i < n; i++ {
				e := sample(i, "Событие", clock(i))
				all = append(all, e)
				if i%3 == 0 {
					more := sample(i, "второе", clock(i))
					all = append(all, more)
					later(t, s.js, packed(e, more))
					continue
				}
				later(t, s.js, header(e, streams.In("40", "URAL"), e.Raw))
			}
			stored(t, s.js)
			s.close()
			restamp(t, s.dir, func(seq uint64) time.Time { return clock(int(seq - 1)).Add(3 * time.Millisecond) })
			folder, _ := folderOf(t, s.dir)
			s = openStore(t, s.dir)
			stream := replay.Stream{JS: s.js, Name: streams.Events}
			for _, w := range [][2]time.Time{
				{}, {second(0), second(1)}, {second(300), second(301)}, {second(300), second(900)}, {second(650), second(720)}, {time.Time{}, second(350)},
				{second(1400), {}}, {second(5000), {}}, {time.Time{}, second(-10)}, {second(100_500), second(100_600)}, {second(0).AddDate(-4, 0, 0), second(1100).AddDate(-3, 0, 0)},
				{second(10).Add(time.Millisecond), second(12)}, {second(1499), second(1500)},
			} {
				var want, got, dead []string
				for _, e := range all {
					if at := e.Received(); (w[0].IsZero() || !at.Before(w[0])) && (w[1].IsZero() || at.Before(w[1])) {
						want = append(want, e.ID)
					}
				}
				q := replay.Query{From: w[0], To: w[1]}
				collect := func(list *[]string) func(replay.Record) error {
					return func(r replay.Record) error { *list = append(*list, r.ID); return nil }
				}
				if err := replay.Read(t.Context(), stream, q, false, collect(&got)); err != nil {
					t.Fatal(err)
				}
				if err := replay.Read(t.Context(), folder, q, false, collect(&dead)); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(want, got) || !slices.Equal(want, dead) {
					t.Errorf("%s to %s: the stream shows %d, the folder %d, want %d", w[0], w[1], len(got), len(dead), len(want))
				}
			}
		})
	}
}

// The window saves reading: of a long stream only about the window is read.
func TestWindowReadsLittle(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	makeEvents(t, s.js)
	const n = 6000
	at := func(i int) time.Time { return base.Add(time.Duration(i) * time.Minute) }
	for i := range n {
		e := sample(i, "x", at(i))
		later(t, s.js, header(e, streams.In("40", "URAL"), e.Raw))
	}
	stored(t, s.js)
	s.close()
	restamp(t, s.dir, func(seq uint64) time.Time { return at(int(seq - 1)) })
	s = openStore(t, s.dir)
	read, found := 0, 0
	src := replay.Stream{JS: s.js, Name: streams.Events, Progress: func(uint64, uint64) { read++ }}
	err := replay.Read(t.Context(), src, replay.Query{From: at(3000), To: at(3010)}, false, func(replay.Record) error { found++; return nil })
	if err != nil || found != 10 || read > 100 {
		t.Errorf("found %d in %d messages: %v", found, read, err)
	}
}

func TestQueryChooses(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	if _, err := s.js.CreateStream(t.Context(), streams.EventsConfig(1<<20)); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ terminal, device, severity, raw string }{
		{"00000040", "7", "normal", `<event message="Замятие КУПЮРЫ" severity="normal" device="7"/>`},
		{"00000040", "CDM", "critical", `<event message="" note="&#1079;амятие" severity="critical" device="CDM"/>`},
		{"00000041", "IDC", "warning", `<event message="card" severity="warning" device="IDC"/>`},
		{"00000041", "99", "странно", `<event message="Ошибка 100%" severity="странно" device="99"/>`},
		{"00000042", "2", "normal", `no XML Замятие`},
	} {
		publish(t, s.js, streams.In(c.terminal, "URAL"), &event.Event{ID: fmt.Sprint(i), Terminal: c.terminal, Signature: "URAL", Severity: c.severity, Device: c.device, Time: base, Raw: []byte(c.raw)})
	}
	for _, c := range []struct {
		q    replay.Query
		want string
	}{
		{replay.Query{}, "0 1 2 3 4"},
		{replay.Query{Terminals: []string{"00000040"}}, "0 1"},
		{replay.Query{Terminals: []string{"00000041", "00000042"}}, "2 3 4"},
		{replay.Query{Devices: []string{"CDM"}}, "0 1"},
		{replay.Query{Devices: []string{"7", "2"}}, "0 1 2 4"},
		{replay.Query{Devices: []string{"99"}}, "3"},
		{replay.Query{Devices: []string{"98"}}, ""},
		{replay.Query{Severities: []string{"critical", "странно"}}, "1 3"},
		{replay.Query{Severities: []string{"other"}}, ""},
		{replay.Query{Text: "замятие"}, "0 1 4"},
		{replay.Query{Text: "ЗАМЯТИЕ купюры"}, "0"},
		{replay.Query{Text: "100%"}, "3"},
		{replay.Query{Text: "message"}, ""}, // a name, no value
		{replay.Query{Text: "замятие", Severities: []string{"critical"}}, "1"},
		{replay.Query{Only: func(e *event.Event) bool { return e.ID > "2" }}, "3 4"},
	} {
		var got []string
		err := replay.Read(t.Context(), replay.Stream{JS: s.js, Name: streams.Events}, c.q, false, func(r replay.Record) error { got = append(got, r.ID); return nil })
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v %v, want %s", c.q, got, err, c.want)
		}
	}
}

// At the hub the server leaves out what is not asked for; late events belong to the window
// in which they were received; the reading ends when the terminals asked for have passed it.
func TestHub(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, "40", "41")
	h.MakeEvt(streams.HubOptions{})
	js := h.JetStream()
	put := func(edge, device, severity string, at time.Time) {
		e := &event.Event{ID: event.NewID(at), Terminal: "00000099", Signature: "URAL", Severity: severity, Device: device, Time: at, Raw: []byte("<event/>")}
		m := header(e, streams.Evt(edge, device, severity, "a"), e.Raw)
		m.Header.Set(streams.HeaderPos, "a.1.0.0")
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Truncate(time.Millisecond)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	put("40", "CDM", "critical", ago(4*time.Hour))
	put("41", "7", "normal", ago(3*time.Hour))
	put("40", "PIN", "odd", ago(150*time.Minute))
	put("40", "7", "normal", ago(20*time.Minute))
	put("40", "7", "normal", ago(10*time.Minute))
	put("41", "7", "normal", ago(2*time.Hour)) // its link was down
	for _, c := range []struct {
		q    replay.Query
		want string // edge and device
		read int
	}{
		{replay.Query{}, "40 CDM, 41 7, 40 PIN, 40 7, 40 7, 41 7", 6},
		{replay.Query{Terminals: []string{"00000041"}}, "41 7, 41 7", 2},
		{replay.Query{Terminals: []string{"00000099"}}, "", 0}, // what the event says of itself is not the edge
		{replay.Query{Devices: []string{"7"}}, "40 CDM, 41 7, 40 7, 40 7, 41 7", 5},
		{replay.Query{Devices: []string{"7"}, Severities: []string{"normal"}}, "41 7, 40 7, 40 7, 41 7", 4},
		{replay.Query{Severities: []string{"odd"}}, "40 PIN", 1},
		{replay.Query{To: ago(time.Hour)}, "40 CDM, 41 7, 40 PIN, 41 7", 6},
		{replay.Query{To: ago(145 * time.Minute), Terminals: []string{"00000040"}}, "40 CDM, 40 PIN", 3},
		{replay.Query{From: ago(190 * time.Minute), To: ago(time.Hour)}, "41 7, 40 PIN, 41 7", 6},
	} {
		var got []string
		read := 0
		src := replay.Stream{JS: js, Name: streams.EvtStream, Progress: func(uint64, uint64) { read++ }}
		err := replay.Read(t.Context(), src, c.q, false, func(r replay.Record) error { got = append(got, strings.TrimLeft(r.Edge, "0")+" "+r.Device); return nil })
		if err != nil || strings.Join(got, ", ") != c.want || read != c.read {
			t.Errorf("%+v: %v %v, %d read; want %s, %d", c.q, got, err, read, c.want, c.read)
		}
	}
}

// Following goes on with what comes, and ends with its context.
func TestFollow(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	s.fill(3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	err := replay.Read(ctx, replay.Stream{JS: s.js, Name: streams.Events}, replay.Query{Attrs: true}, true, func(r replay.Record) error {
		got = append(got, fmt.Sprint(r.Seq, ".", r.Index, " ", len(r.Attrs)))
		switch len(got) {
		case 4:
			publish(t, s.js, streams.In("40", "URAL"), sample(9, "новое", base))
		case 5:
			cancel()
		}
		return nil
	})
	if d := cmp.Diff([]string{"1.0 5", "2.0 5", "3.0 5", "3.1 5", "4.0 5"}, got); d != "" || !errors.Is(err, context.Canceled) {
		t.Error(d, err)
	}
}

// Enough is enough, in every source.
func TestEnough(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	s.fill(6)
	file := replay.File{R: strings.NewReader(strings.Repeat(string(event.AppendJSON(nil, sample(1, "a", base)))+"\n", 5)), Name: "f"}
	folder, _ := folderOf(t, s.dir)
	for name, src := range map[string]replay.Source{"stream": replay.Stream{JS: s.js, Name: streams.Events}, "folder": folder, "file": file} {
		n := 0
		err := replay.Read(t.Context(), src, replay.Query{}, false, func(replay.Record) error {
			if n++; n == 4 {
				return streams.ErrEnough
			}
			return nil
		})
		if err != nil || n != 4 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		want := errors.New("disk full")
		if err := replay.Read(t.Context(), src, replay.Query{}, false, func(replay.Record) error { return want }); name != "file" && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	if name, err := replay.Find(t.Context(), s.js); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Error(name, err)
	}
	for _, c := range []jetstream.StreamConfig{streams.EventsConfig(1 << 20), streams.EvtConfig(streams.HubOptions{Replicas: 1})} {
		if _, err := s.js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if name, err := replay.Find(t.Context(), s.js); err != nil || name != c.Name {
			t.Error(name, err)
		}
	}
}
