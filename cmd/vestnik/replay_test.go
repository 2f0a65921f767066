package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/event"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// storedHere is a hall whose EVENTS the test writes.
type storedHere struct {
	*hall
	js jetstream.JetStream
}

var morning = time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)

func newEvidence(t testing.TB) *storedHere {
	t.Helper()
	f := &storedHere{hall: newHall(t, "jetstream {}")}
	f.connect()
	return f
}

func (f *storedHere) connect() {
	f.t.Helper()
	nc, err := f.server.Connect("edge")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(nc.Close)
	if f.js, err = jetstream.New(nc); err != nil {
		f.t.Fatal(err)
	}
}

// restart ends the server, and starts it again at the same address.
func (f *storedHere) restart(listen string) {
	f.t.Helper()
	f.server.Close()
	file := f.write("nats.conf", fmt.Sprintf("listen: %q, jetstream {}", listen))
	server, err := broker.Start(broker.Options{File: file, Dir: filepath.Join(f.dir, "data"), Log: zerolog.Nop()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(server.Close)
	f.server = server
	f.connect()
}

// fill makes EVENTS with five events in four messages, a minute apart.
func (f *storedHere) fill() {
	f.t.Helper()
	if _, err := f.js.CreateStream(f.t.Context(), streams.EventsConfig(1<<20)); err != nil {
		f.t.Fatal(err)
	}
	e := f.events()
	f.put(streams.In("40", "URAL"), e[0])
	f.put(streams.InBatch, e[1], e[2])
	f.put(streams.In("41", "JSON"), e[3])
	f.put(streams.In("41", "JSON"), e[4])
}

func (f *storedHere) events() []*event.Event {
	var list []*event.Event
	for i, c := range []struct{ terminal, device, severity, message string }{
		{"00000040", "CDM", "normal", "Выдача 4111111111111111"},
		{"00000040", "7", "critical", "Замятие купюры, кассета 3"},
		{"00000040", "PIN", "normal", "Клавиатура"},
		{"00000041", "IDC", "warning", "Карта задержана"},
		{"00000041", "0", "normal", ""},
	} {
		at := morning.Add(time.Duration(i) * time.Minute)
		raw := fmt.Sprintf("<?xml version='1.0' encoding='UTF-8'?><event severity='%s' device='%s' message='%s' atm='%s'/>", c.severity, c.device, c.message, c.terminal[6:])
		list = append(list, &event.Event{ID: event.NewID(at), Terminal: c.terminal, Signature: "URAL", Severity: c.severity, Device: c.device, Time: at, Raw: []byte(raw)})
	}
	return list
}

func (f *storedHere) put(subject string, events ...*event.Event) {
	f.t.Helper()
	m := nats.NewMsg(subject)
	if subject == streams.InBatch {
		m.Header, m.Data = nats.Header(event.BatchHeader()), event.AppendBatch(nil, events)
	} else {
		m.Data = events[0].Raw
		events[0].SetHeader(event.Header(m.Header))
	}
	if _, err := f.js.PublishMsg(f.t.Context(), m); err != nil {
		f.t.Fatal(err)
	}
}

// minutes says which of the five events a jsonl output holds.
func minutes(t testing.TB, out string) string {
	t.Helper()
	var list []string
	for line := range strings.Lines(out) {
		e, err := event.ParseWhole([]byte(line))
		if err != nil {
			t.Fatal(err, line)
		}
		list = append(list, fmt.Sprint(int(e.Received().Sub(morning)/time.Minute)))
	}
	return strings.Join(list, " ")
}

// Every flag that chooses, alone and together.
func TestReplayChooses(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	for args, want := range map[string]string{
		"":                                "0 1 2 3 4",
		"--terminal 40":                   "0 1 2",
		"--terminal 40,41":                "0 1 2 3 4",
		"--terminal 00000041":             "3 4",
		"--terminal 40 --terminal 41":     "0 1 2 3 4",
		"--terminal 42":                   "",
		"--device CDM":                    "0 1",
		"--device 7,IDC":                  "0 1 3",
		"--device 1":                      "",
		"--severity critical,warning":     "1 3",
		"--text ЗАМЯТИЕ":                  "1",
		"--text карта --severity warning": "3",
		"--limit 2":                       "0 1",
		"--limit 1 --terminal 41":         "3",
		"--since 2026-11-28T07:01:00Z":    "1 2 3 4",
		"--until 2026-11-28T07:01:00Z":    "0",
		"--since 2026-11-28T07:01:00Z --until 2026-11-28T07:03:00Z":                 "1 2",
		"--since 2026-11-28T07:01:00.001Z --until 2026-11-28T07:03:00.001Z":         "2 3",
		"--since 2026-11-28T10:01:00+03:00":                                         "1 2 3 4",
		"--since 2099-01-01 --until 2099-12-31":                                     "",
		"--stream EVENTS --whole --since 2026-11-28T07:04:00Z":                      "4",
		"--since 2020-01-01 --until 2100-01-01 --terminal 41 --device 0 --limit 10": "4",
	} {
		out, errs := f.wants(true, "replay "+args)
		if got := minutes(t, out); got != want {
			t.Errorf("%s: events %s, want %s", args, got, want)
		}
		n := len(strings.Fields(want))
		if n == 1 && !strings.HasPrefix(errs, "1 event of EVENTS at ") || n != 1 && !strings.HasPrefix(errs, fmt.Sprintf("%d events of EVENTS at ", n)) {
			t.Errorf("%s: %s", args, errs)
		}
	}
}

// What is wrong with a question is said before anything is read.
func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	for args, want := range map[string]string{
		"":                              "neither EVENTS nor EVT: has an edge",
		"--stream NONE":                 "no stream NONE at",
		"--terminal 1x":                 "terminal",
		"--since bald":                  `--since "bald": want`,
		"--since 1h --until 2h":         "is not before",
		"--until 1h --follow":           "--follow has no end",
		"--state odd":                   `unknown state "odd"`,
		"--sink odd":                    `unknown sink "odd"`,
		"--limit -1":                    "limit -1",
		"--store a --from b":            "two sources",
		"--from a --stream b":           "leave --stream out",
		"--from a --follow":             "needs a running system",
		"--store a --rule b":            "need the running system's queues",
		"--lenient":                     "--lenient goes with --from",
		"--rule a --follow":             "do not go with --follow",
		"--speed fast":                  `speed "fast"`,
		"--speed 0":                     `speed "0"`,
		"--speed -1":                    `speed "-1"`,
		"--speed NaN":                   `speed "NaN"`,
		"--max-gap 5s":                  "--max-gap goes with --speed",
		"--speed 1 --max-gap -5s":       "max-gap -5s",
		"--to nowhere":                  `target "nowhere"`,
		"--to sink:mailbox":             `target "sink:mailbox"`,
		"--to subject:in.00000040.URAL": "nothing is replayed there",
		"--to subject:a.*":              "want tokens",
		"--to subject:a --output jsonl": "nothing is printed",
		"--url http://h":                "go with --to sink",
		"--to subject:a --retry":        "go with --to sink",
		"--output yaml":                 `unknown form "yaml"`,
		"--from no.jsonl":               "open the export",
		"--store no":                    "open store",
		"--from - --to sink:uralsib":    "give --url",
		"more":                          "unknown command",
	} {
		out, errs, err := f.try(t.Context(), "", append([]string{"replay"}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(errs, want) || out != "" {
			t.Errorf("%s: %v %s%s, want %s", args, err, out, errs, want)
		}
	}
}

// The forms, as files of testdata.
func TestReplayForms(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	for _, form := range []string{"table", "jsonl", "csv", "xml"} {
		out, _ := f.wants(true, "replay --output "+form)
		got := id.ReplaceAllString(out, "ID")
		got = strings.ReplaceAll(got, morning.Local().Format("2006-01-02 15"), "2026-11-28 HH")
		file := filepath.Join("testdata", "replay."+form)
		if updatingRules() {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s: %s", form, d)
		}
	}
}

// A file of --out appears when it is whole, and an old one stays until then.
func TestReplayOut(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	file := filepath.Join(f.dir, "out.jsonl")
	want, _ := f.wants(true, "replay")
	f.wants(true, "replay --out "+file)
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s %v", got, err)
	}
	bad := f.write("bad.jsonl", want+"{}\n")
	_, errs := f.wants(false, "replay --from "+bad+" --out "+file)
	if got, err := os.ReadFile(file); err != nil || string(got) != want || !strings.Contains(errs, "bad.jsonl:6: ") || !strings.Contains(errs, "out.jsonl is not written") {
		t.Errorf("%s %v\n%s", got, err, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, "*out.jsonl.*")); len(left) > 0 {
		t.Error("left over:", left)
	}
	if out, errs := f.wants(true, "replay --lenient --from "+bad); out != want || !strings.Contains(errs, "1 lines were no events") {
		t.Error(out, errs)
	}
}

// Issue 5: export → import → export is byte-equal, by way of a subject that a stream
// captures. The mark is on the wire, and in the export only if asked for.
func TestReplayExportImportExport(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab.>"}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.dir, "a.jsonl")
	f.wants(true, "replay --out "+file)
	_, errs := f.wants(true, "replay --from "+file+" --to subject:lab.{terminal}.{device}")
	if !strings.Contains(errs, ": 5 stored by a stream, 0 published where none is") {
		t.Error(errs)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := f.wants(true, "replay --stream LAB --output jsonl")
	if d := cmp.Diff(string(want), got); d != "" || len(want) == 0 {
		t.Error(d)
	}
	marked, _ := f.wants(true, "replay --stream LAB --marks")
	if strings.Count(marked, `"replay":"`) != 5 {
		t.Error(marked)
	}
	s, err := f.js.Stream(t.Context(), "LAB")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(t.Context(), "lab.00000040.7")
	if err != nil || m.Header.Get(streams.HeaderReplay) == "" || m.Header.Get(streams.HeaderReplay) != m.Header.Get("ce-replay") {
		t.Errorf("%+v %v", m, err)
	}
	again, _, err := f.try(t.Context(), string(want), "replay", "--from", "-")
	if err != nil || again != string(want) {
		t.Error(again, err)
	}
}

// A copied store needs no server and is not changed; the other streams in it can be chosen.
func TestReplayStore(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	if _, err := f.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab.>"}}); err != nil {
		t.Fatal(err)
	}
	f.wants(true, "replay --terminal 41 --to subject:lab.x")
	want, _ := f.wants(true, "replay")
	csv, _ := f.wants(true, "replay --output csv --device CDM --since 2026-11-28T07:00:00Z --until 2026-11-28T07:01:00Z")
	f.server.Close()
	store := filepath.Join(f.dir, "data")
	before := tree(t, store)
	for args, wanted := range map[string]string{
		"":                                 want,
		"--stream LAB":                     last(want, 2),
		"--stream $G/EVENTS --terminal 40": first(want, 3),
		"--output csv --device CDM --since 2026-11-28T07:00:00Z --until 2026-11-28T07:01:00Z --limit 5": csv,
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), append([]string{"replay", "--store", store}, strings.Fields(args)...), nil, &out, &errs)
		if err != nil || out.String() != wanted || strings.Contains(errs.String(), "damage") {
			t.Errorf("%s: %v\n%s%s", args, err, &out, &errs)
		}
	}
	for _, folder := range []string{"jetstream", "jetstream/$G", "jetstream/$G/streams", "jetstream/$G/streams/EVENTS"} { // any between
		var out bytes.Buffer
		if err := run(t.Context(), []string{"replay", "--store", filepath.Join(store, folder)}, nil, &out, io.Discard); err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s", folder, err, &out)
		}
	}
	if d := cmp.Diff(before, tree(t, store)); d != "" {
		t.Error("the folder has changed:", d)
	}
	blocks, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "EVENTS", "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatal(blocks, err)
	}
	data, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	copy(data[bytes.Index(data, []byte("Замятие")):], "XXXXXXXXXXXXX")
	if err := os.WriteFile(blocks[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	err = run(t.Context(), []string{"replay", "--store", store}, nil, &out, &errs)
	if err != nil || minutes(t, out.String()) != "0 3 4" || !strings.Contains(errs.String(), "damage: missing: message 2\n") || !strings.Contains(errs.String(), "1.blk: ") {
		t.Errorf("%v\n%s%s", err, &out, &errs)
	}
	err = run(t.Context(), []string{"replay", "--store", store, "--stream", "NO"}, nil, &out, &errs)
	if err == nil || !strings.Contains(err.Error(), "there are $G/EVENTS, $G/LAB") {
		t.Error(err)
	}
}

func first(text string, n int) string { return strings.Join(strings.SplitAfter(text, "\n")[:n], "") }
func last(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[len(lines)-1-n:], "")
}

// tree is what is in a folder: names, sizes, times, contents.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[path] = info.ModTime().String()
		if !d.IsDir() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[path] += string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// live is an output that others look at while it is written.
type live struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *live) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *live) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// --follow shows what comes as it comes, and its end is no error; a file is whole then.
func TestReplayFollow(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	for _, args := range []string{"--output jsonl", "--output xml", "--out " + filepath.Join(f.dir, "followed.jsonl")} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out, errs live
		ended := make(chan error, 1)
		go func() {
			line := append([]string{"replay", "--follow", "--terminal", "40", "--server", f.server.ClientURL()}, strings.Fields(args)...)
			ended <- run(ctx, line, nil, &out, &errs)
		}()
		shown := func() string {
			if strings.HasPrefix(args, "--out ") {
				left, _ := filepath.Glob(filepath.Join(f.dir, ".followed.jsonl.*.tmp"))
				if len(left) == 1 {
					data, _ := os.ReadFile(left[0])
					return string(data)
				}
			}
			return out.String()
		}
		n := strings.Count
		f.until("the stored events are shown", func() bool { return n(shown(), "<event ") >= 3 })
		was := n(shown(), "<event ")
		f.put(streams.In("41", "URAL"), f.events()[3])
		f.put(streams.In("40", "URAL"), f.events()[0])
		f.until("the new event is shown", func() bool { return n(shown(), "<event ") == was+1 })
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v\n%s", args, err, errs.String())
		}
		if !strings.Contains(errs.String(), fmt.Sprintf("%d events of EVENTS", was+1)) {
			t.Errorf("%s: %s", args, errs.String())
		}
		if strings.HasSuffix(args, "xml") && !strings.HasSuffix(out.String(), "</events>\n") {
			t.Errorf("not closed: %s", out.String())
		}
	}
	if data, err := os.ReadFile(filepath.Join(f.dir, "followed.jsonl")); err != nil || strings.Count(string(data), "\n") < 4 {
		t.Errorf("%s %v", data, err)
	}
}

// Following that ends before a server is there leaves an empty document, not none.
func TestReplayFollowsNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	err := run(ctx, []string{"replay", "--follow", "--output", "xml", "--server", "nats://127.0.0.1:1"}, nil, &out, &errs)
	if err != nil || !strings.HasSuffix(out.String(), "<events>\n</events>\n") {
		t.Errorf("%v: %q %s", err, &out, &errs)
	}
}

// --follow goes on behind a restart of the broker: each event is shown once, also those
// that were packed together.
func TestReplayFollowsOverARestart(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	listen := strings.TrimPrefix(f.server.ClientURL(), "nats://")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs live
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"replay", "--follow", "--output", "jsonl", "--server", "nats://" + listen}, nil, &out, &errs)
	}()
	lines := func() int { return strings.Count(out.String(), "\n") }
	f.until("the stored events are shown", func() bool { return lines() == 5 })
	e := f.events()
	for round := range 2 {
		f.restart(listen)
		f.put(streams.InBatch, e[1], e[2])
		f.put(streams.In("41", "JSON"), e[3])
		f.until("the new events are shown", func() bool { return lines() >= 5+3*(round+1) })
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := minutes(t, out.String()); got != "0 1 2 3 4 1 2 3 1 2 3" || !strings.Contains(errs.String(), "goes on when it is back") || !strings.Contains(errs.String(), "11 events of EVENTS at") {
		t.Errorf("%s\n%s", got, errs.String())
	}
}

// An end by the user in the middle is an error, and leaves no file.
func TestReplayInterrupted(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	file := filepath.Join(f.dir, "half.jsonl")
	ended := make(chan error, 1)
	var errs live
	go func() {
		ended <- run(ctx, []string{"replay", "--speed", "original", "--out", file, "--server", f.server.ClientURL()}, nil, &live{}, &errs)
	}()
	f.until("it has begun", func() bool {
		left, _ := filepath.Glob(filepath.Join(f.dir, ".half.jsonl.*.tmp"))
		return len(left) == 1 && size(left[0]) > 0
	})
	cancel()
	if err := <-ended; err == nil || !strings.Contains(errs.String(), "interrupted") {
		t.Error(err, errs.String())
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, "*half.jsonl*")); len(left) != 0 {
		t.Error("left:", left)
	}
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// SPEC 10: again to a sink, marked, without touching the queues; refusals and an outage are
// told.
func TestReplayToSink(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	export := filepath.Join(f.dir, "e.jsonl")
	f.wants(true, "replay --out "+export)
	uralsib, proxima := simulate.NewUralsib(simulate.UralsibOptions{}), simulate.NewProxima(simulate.ProximaOptions{})
	u, p := httptest.NewServer(uralsib), httptest.NewServer(proxima)
	t.Cleanup(u.Close)
	t.Cleanup(p.Close)
	for name, from := range map[string]string{"uralsib": "", "proxima": " --from " + export} {
		url := map[string]string{"uralsib": u.URL + "/m?key=secret", "proxima": p.URL + "/e"}[name]
		out, errs := f.wants(true, "replay"+from+" --to sink:"+name+" --url "+url)
		if !strings.Contains(out, "5 delivered, 0 refused, 5 attempts\n") || !regexp.MustCompile(`(?m)^00000040 +3 +0 +3$`).MatchString(out) || strings.Contains(out+errs, "secret") {
			t.Errorf("%s: %s%s", name, out, errs)
		}
	}
	marks := map[string]bool{}
	for _, arrivals := range [][]simulate.Arrival{uralsib.Arrivals(), proxima.Arrivals()} {
		seen := map[string]string{}
		for _, a := range arrivals {
			if a.Replay == "" || a.Problem != "" || a.Attr("atm") != a.Terminal[6:] && a.Attr("atm") != a.Terminal {
				t.Errorf("%+v", a)
			}
			if a.ID <= seen[a.Terminal] {
				t.Errorf("%s came after %s", a.ID, seen[a.Terminal])
			}
			seen[a.Terminal] = a.ID
			marks[a.System+a.Replay] = true
		}
		if len(arrivals) != 5 {
			t.Errorf("%d came", len(arrivals))
		}
	}
	if len(marks) != 2 {
		t.Error("each run has a mark of its own:", marks)
	}
	uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "device", Text: "PIN", Status: 400}} })
	out, errs := f.wants(false, "replay --to sink:uralsib --url "+u.URL)
	if !strings.Contains(out, "4 delivered, 1 refused") || !strings.Contains(errs, "refused: HTTP 400") || !strings.Contains(errs, "uralsib refused 1 of 5 events") {
		t.Error(out, errs)
	}
	uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	out, errs = f.wants(false, "replay --terminal 40 --to sink:uralsib --url "+u.URL)
	if !strings.Contains(out, "0 delivered, 0 refused, 1 attempts") || !strings.Contains(errs, "was not delivered: HTTP 503") {
		t.Error(out, errs)
	}
	ended := make(chan string, 1)
	conf := f.write("vestnik.conf", `atm: "40", terminal { signatures { URAL: [uralsib] } }, sinks { uralsib { RemoteMonitoringUrl: "`+u.URL+`", retry_min: "5ms", retry_max: "10ms" } }`)
	f.write("rules.xml", "<rules/>")
	go func() {
		out, _ := f.wants(true, "replay --terminal 40 --device CDM,7 --retry --to sink:uralsib -c "+conf)
		ended <- out
	}()
	was := len(uralsib.Arrivals())
	f.until("it has been tried again", func() bool { return len(uralsib.Arrivals()) > was+3 })
	uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	if out := <-ended; !strings.Contains(out, "2 delivered, 0 refused") {
		t.Error(out)
	}
}

// By what the router decided; and a replay to the real sink leaves queues and outcomes as
// they are.
func TestReplayRouted(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib")
	s.start()
	for _, kind := range []string{"plain", "drop", "two", "urgent"} {
		s.send(kind)
	}
	s.wantQueue("plain delivered", "drop suppressed", "two held", "urgent delivered")
	kinds := func(args ...string) string {
		out, errs, err := s.try(append([]string{"replay", "--output", "csv"}, args...)...)
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, errs)
		}
		var list []string
		for _, m := range regexp.MustCompile(`""kind"":""(\w+)""`).FindAllStringSubmatch(out, -1) {
			list = append(list, m[1])
		}
		return strings.Join(list, " ")
	}
	for args, want := range map[string]string{
		"":                                       "plain drop two urgent",
		"--sink uralsib":                         "plain drop two urgent",
		"--sink proxima":                         "",
		"--state delivered":                      "plain urgent",
		"--state held,suppressed":                "drop two",
		"--rule two":                             "two",
		"--rule two|--rule urgent":               "two urgent",
		"--rule -":                               "plain",
		"--rule urgent|--state held":             "",
		"--rule urgent|--sink uralsib|--limit 1": "urgent",
	} {
		if got := kinds(strings.Fields(strings.ReplaceAll(args, "|", " "))...); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	came := len(s.uralsib.Arrivals())
	states := func() string {
		var at []string
		for _, name := range []string{streams.Route, streams.Done} {
			at = append(at, fmt.Sprint(lastOf(t, s.server, name)))
		}
		return strings.Join(append(at, s.queue("--sink", "uralsib")...), " ")
	}
	before := states()
	if out, errs, err := s.try("replay", "--to", "sink:uralsib"); err != nil || !strings.Contains(out, "4 delivered") {
		t.Error(out, errs, err)
	}
	if now := states(); now != before {
		t.Errorf("the queues were %s, and are %s", before, now)
	}
	if got := len(s.uralsib.Arrivals()) - came; got != 4 {
		t.Errorf("%d came", got)
	}
}

func lastOf(t testing.TB, server, name string) (state string) {
	t.Helper()
	nc, err := nats.Connect(server)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal([]uint64{st.CachedInfo().State.LastSeq, st.CachedInfo().State.Msgs, st.CachedInfo().State.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Where no router works the question by rule has no answer, and says so.
func TestReplayWithoutRouter(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	for _, args := range []string{"--rule a", "--sink uralsib", "--state held"} {
		if _, errs := f.wants(false, "replay "+args); !strings.Contains(errs, "no queues (stream ROUTE)") {
			t.Error(args, errs)
		}
	}
}

// Words for days, by the local clock.
func TestPointInTimeDays(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 1, 0, 30, 0, 0, time.Local)
	for s, want := range map[string][2]string{
		"today": {"2026-11-01", "2026-11-02"}, "yesterday": {"2026-10-31", "2026-11-01"}, "2026-02-28": {"2026-02-28", "2026-03-01"},
	} {
		for i, end := range []bool{false, true} {
			at, err := pointInTime("--since", s, now, end)
			if err != nil || !at.Equal(mustDay(t, want[i])) {
				t.Errorf("%s, end %v: %s %v", s, end, at, err)
			}
		}
	}
}

func mustDay(t testing.TB, s string) time.Time {
	t.Helper()
	day, err := time.ParseInLocation(time.DateOnly, s, time.Local)
	if err != nil {
		t.Fatal(err)
	}
	return day
}
