package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/journal"
	"vestnik/internal/replay"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// tell stores an event by the terminal's port.
func (s *site) tell(attrs string) {
	s.t.Helper()
	answer, err := simulate.Send(s.t.Context(), s.terminal, "URAL", frame.BigEndian, []byte("<event "+attrs+"/>"))
	if err != nil {
		s.t.Fatal(err)
	}
	if r, err := simulate.ReadResult(answer); err != nil || r.Code != code.OK {
		s.t.Fatal(r, err)
	}
}

// An incident on a real edge: its picture, as text, JSON and SVG, and its bundle.
func TestIncident(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib")
	s.start()
	s.tell(`severity='critical' device='7' atm='40' message='Замятие &lt;купюры&gt; карты 4111111111111111'`)
	s.tell(`severity='warning' device='IDC' atm='40' kind='drop' message='Карта &#52;111111111111111'`)
	s.tell(`severity='normal' device='0' atm='40'`)
	s.tell(`severity='normal' device='13' atm='41' message='other terminal'`)
	s.until("two deliveries", func() bool {
		return s.status().Sinks["uralsib"].States[streams.StateDelivered] == 3
	})

	out := s.run("timeline", "--width", "90")
	for _, want := range []string{"terminal 00000040", "3 events", "CDM (7)", "IDC (2)", "heartbeat", "1 critical", "1 warning", "Замятие <купюры> карты 411111****1111", "Карта 411111****1111"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "4111111111111111") || strings.Contains(out, "\x1b") || strings.Contains(out, "other terminal") {
		t.Errorf("%s", out)
	}
	if out := s.run("timeline", "40", "--device", "CDM", "--text", "ЗАМЯТИЕ", "--ascii"); !strings.Contains(out, "1 event\n") || strings.Contains(out, "IDC") || !strings.Contains(out, "xX 1 critical") {
		t.Errorf("chosen:\n%s", out)
	}
	var doc struct {
		Events int
		Notes  []struct{ Text, Level string }
	}
	if err := json.Unmarshal([]byte(s.run("timeline", "40", "--json")), &doc); err != nil || doc.Events != 3 || len(doc.Notes) != 2 || !strings.Contains(doc.Notes[0].Text, "4111111111111111") {
		t.Errorf("%+v, %v", doc, err)
	}
	file := s.file("i.svg")
	if out := s.run("timeline", "40", "--svg", file); out != "wrote "+file+": 3 events\n" {
		t.Errorf("%s", out)
	}
	if text, err := os.ReadFile(file); err != nil || xml.Unmarshal(text, new(struct{})) != nil {
		t.Errorf("%v: %s", err, text)
	}
	if _, _, err := s.try("timeline", "40", "--svg", file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a file was replaced: %v", err)
	}
	if out := s.run("timeline", "40", "--until", "1h"); !strings.Contains(out, "No events of this terminal are stored before") {
		t.Errorf("too early:\n%s", out)
	}
	s.packed()
}

// packed makes bundles of the incident and compares them with the streams.
func (s *site) packed() {
	t := s.t
	t.Helper()
	stored := s.stored()
	plain, masked := s.file("plain.zip"), s.file("masked.zip")
	if out := s.run("bundle", "--unmasked", "-o", plain); !strings.Contains(out, "4 events") || !strings.Contains(out, "treat it as card data") {
		t.Errorf("%s", out)
	}
	files := unzip(t, plain)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := "[README.md commands.jsonl configuration.json deliveries.jsonl events.jsonl events.xml rules.xml status.json timeline-00000040.svg timeline-00000041.svg versions.json]"; fmt.Sprint(names) != want {
		t.Errorf("%v, want %s", names, want)
	}
	var lines, raws string
	for _, e := range stored {
		lines += string(event.AppendJSON(nil, e)) + "\n"
		raws += string(e.Raw)
	}
	if files["events.jsonl"] != lines {
		t.Errorf("events.jsonl:\n%s\nstored:\n%s", files["events.jsonl"], lines)
	}
	if got := inner(t, files["events.xml"]); got != raws {
		t.Errorf("events.xml: %s\nstored: %s", got, raws)
	}
	if files["deliveries.jsonl"] != s.run("queue", "--json") {
		t.Errorf("deliveries.jsonl:\n%s", files["deliveries.jsonl"])
	}
	var st status
	if err := json.Unmarshal([]byte(files["status.json"]), &st); err != nil || !st.program("edge").Running {
		t.Errorf("status.json: %v", err)
	}
	if files["rules.xml"] != siteRules || !strings.Contains(files["configuration.json"], "sha256:") || !strings.Contains(files["versions.json"], `"edge"`) {
		t.Errorf("%s\n%s", files["configuration.json"], files["versions.json"])
	}
	for _, want := range []string{"Events: 4", "vestnik replay --from events.jsonl", "treat it as", "status of router"} {
		if has := strings.Contains(strings.ToLower(files["README.md"]), strings.ToLower(want)); has == (want == "status of router") {
			t.Errorf("README.md, %q: %v\n%s", want, has, files["README.md"])
		}
	}

	if out := s.run("bundle", "40", "-o", masked); !strings.Contains(out, "3 events") || !strings.Contains(out, "is masked") {
		t.Errorf("%s", out)
	}
	for name, text := range unzip(t, masked) {
		if strings.Contains(text, "4111111111111111") || strings.Contains(text, "&#52;11") || strings.Contains(text, "other terminal") && name != "status.json" {
			t.Errorf("%s: %s", name, text)
		}
		if strings.HasSuffix(name, ".xml") || strings.HasSuffix(name, ".svg") {
			inner(t, text)
		}
	}
	before := s.file("before.zip")
	s.run("bundle", "--until", "1h", "-o", before)
	if files := unzip(t, before); files["events.jsonl"]+files["deliveries.jsonl"]+files["commands.jsonl"] != "" {
		t.Errorf("an empty window: %s%s%s", files["events.jsonl"], files["deliveries.jsonl"], files["commands.jsonl"])
	}
	if rest, _ := filepath.Glob(s.file(".*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}

// stored are the events of EVENTS.
func (s *site) stored() (list []*event.Event) {
	s.t.Helper()
	nc, err := nats.Connect(s.server)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	err = replay.Read(s.t.Context(), replay.Stream{JS: js, Name: streams.Events}, replay.Query{}, false, func(r replay.Record) error {
		list = append(list, r.Event)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

func unzip(t testing.TB, name string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files
}

// inner checks that a document is well-formed, and returns what is within its <stored>.
func inner(t testing.TB, doc string) string {
	t.Helper()
	var list struct {
		Stored []struct {
			Inner string `xml:",innerxml"`
		} `xml:"stored"`
	}
	if err := xml.Unmarshal([]byte(doc), &list); err != nil {
		t.Errorf("%v: %s", err, doc)
	}
	var b strings.Builder
	for _, one := range list.Stored {
		b.WriteString(one.Inner)
	}
	return b.String()
}

// Where there is no record of commands and no router, both say so and go on. The events
// are the journal's.
func TestIncidentOfABareStore(t *testing.T) {
	t.Parallel()
	h := newHall(t, "jetstream {}")
	nc, err := h.server.Connect("edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.wants(false, "timeline 40"); !strings.Contains(err, "no stored events") {
		t.Errorf("nothing there: %s", err)
	}
	if _, _, err := streams.Ensure(t.Context(), js, streams.EventsConfig(64<<20), 0); err != nil {
		t.Fatal(err)
	}
	j := journal.New(js, journal.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	now := time.Now().Truncate(time.Millisecond) // as ids have it
	for i := range 300 {
		raw := fmt.Sprintf(`<event severity='warning' device='CDM' atm='40' message='%d'/>`, i)
		e := &event.Event{ID: event.NewID(now.Add(time.Duration(i-300) * time.Second)), Terminal: "00000040", Signature: "URAL", Severity: "warning", Device: "CDM", Time: now, Raw: []byte(raw)}
		if err := j.Record(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	since := now.Add(-4 * time.Minute).Format(time.RFC3339Nano)
	out, _ := h.wants(true, "timeline 40 --notes 5 --since "+since)
	for _, want := range []string{"240 events", "and 235 more", "Commands are not shown", "Deliveries are not shown"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	file := filepath.Join(h.dir, "b.zip")
	h.wants(true, "bundle 40 -o "+file)
	files := unzip(t, file)
	if n := strings.Count(files["events.jsonl"], "\n"); n != 300 {
		t.Errorf("%d events", n)
	}
	if !strings.Contains(files["README.md"], "no router has run here") || !strings.Contains(files["README.md"], "no record of commands") {
		t.Errorf("%s", files["README.md"])
	}
	if bytes.Contains([]byte(files["README.md"]), []byte("card data")) {
		t.Errorf("%s", files["README.md"])
	}
}

// Wrong arguments are errors of use.
func TestIncidentUse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"timeline x":                       "want 1 to 8 digits",
		"timeline 1 2":                     "accepts at most 1 arg",
		"timeline 1 --terminal 2":          "a picture is of one terminal",
		"timeline 1 --width 39":            "want 40 or more",
		"timeline 1 --notes 0":             "want 1 or more",
		"timeline 1 --since 1h --until 2h": "is not before --until",
		"timeline 1 --json --svg -":        "choose one",
		"bundle 123456789":                 "want 1 to 8 digits",
		"bundle --since soon":              "want a span before now",
	} {
		var out, errs bytes.Buffer
		if err := run(context.Background(), strings.Fields(line), nil, &out, &errs); err == nil || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %v\n%s", line, err, &errs)
		}
	}
}

// At the hub any terminal of EVT has a picture and a bundle; what the store of another
// program holds there is no event, and is passed over.
func TestIncidentAtTheHub(t *testing.T) {
	t.Parallel()
	h := newHall(t, "jetstream {}")
	nc, err := h.server.Connect("forwarders")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), streams.EvtConfig(streams.HubOptions{Replicas: 1})); err != nil {
		t.Fatal(err)
	}
	for i, atm := range []string{"00000040", "00000041", "../../etc"} {
		e := &event.Event{ID: event.NewID(time.Now()), Terminal: atm, Signature: "URAL", Severity: "critical", Device: "CIM", Time: time.Now(),
			Raw: fmt.Appendf(nil, "<event severity='critical' device='CIM' message='m%d'/>", i)}
		m := nats.NewMsg(streams.Evt(atm, "CIM", "critical", "abc"))
		e.SetHeader(event.Header(m.Header))
		m.Data = e.Raw
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "evt.foreign", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if out, _ := h.wants(true, "timeline 41"); !strings.Contains(out, "m1") || strings.Contains(out, "m0") {
		t.Errorf("%s", out)
	}
	file := filepath.Join(h.dir, "hub.zip")
	h.wants(true, "bundle -o "+file)
	var names []string
	for name := range unzip(t, file) {
		if strings.HasSuffix(name, ".svg") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if fmt.Sprint(names) != "[timeline-00000000.svg timeline-00000040.svg timeline-00000041.svg]" {
		t.Errorf("%v", names)
	}
}

// A copied store of an edge has events and commands, and needs no server; what it lacks is
// said. It is not changed.
func TestIncidentOfACopy(t *testing.T) {
	t.Parallel()
	s := newSite(t, "router", "uralsib")
	s.start()
	s.tell(`severity='critical' device='7' atm='40' message='Замятие'`)
	s.tell(`severity='normal' device='13' atm='40' message='m'`)
	if _, _, err := s.try("command", "40", "REBOOT"); err == nil {
		t.Fatal("a command without an application was done")
	}
	want, _, err := s.try("replay", "--output", "jsonl")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	store := s.file("data")
	before := tree(t, store)
	do := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if err := run(t.Context(), append(args, "--store", store), nil, &out, &errs); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &errs)
		}
		return out.String()
	}
	picture := do("timeline", "--terminal", "40")
	for _, part := range []string{"2 events", "1 critical", "commands", "REBOOT", "Deliveries are not shown: this is a copy"} {
		if !strings.Contains(picture, part) {
			t.Errorf("no %q in\n%s", part, picture)
		}
	}
	if out := do("timeline", "40", "--stream", "EVENTS", "--device", "CDM"); !strings.Contains(out, "1 event\n") {
		t.Errorf("%s", out)
	}
	file := s.file("copy.zip")
	do("bundle", "--unmasked", "-o", file)
	files := unzip(t, file)
	if files["events.jsonl"] != want || !strings.Contains(files["commands.jsonl"], "REBOOT") {
		t.Errorf("%s\n%s", files["events.jsonl"], files["commands.jsonl"])
	}
	for _, part := range []string{"Events: 2", "status.json: this is a copy", "EVENTS in " + store, "deliveries.jsonl is empty"} {
		if !strings.Contains(files["README.md"], part) {
			t.Errorf("no %q in\n%s", part, files["README.md"])
		}
	}
	if d := cmp.Diff(before, tree(t, store)); d != "" {
		t.Error("the folder has changed:", d)
	}
	for line, part := range map[string]string{
		"timeline --store " + store:                         "which terminal?",
		"timeline 40 --stream NONE --store " + store:        "no stream NONE in",
		"bundle --store " + filepath.Join(store, "nothing"): "open store",
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), strings.Fields(line), nil, &out, &errs); err == nil || !strings.Contains(errs.String(), part) {
			t.Errorf("%s: %v %s", line, err, &errs)
		}
	}
}
