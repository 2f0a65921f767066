package streams_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

var update = flag.Bool("update", false, "rewrite the tables of docs/subscribers.md")

// The tables of docs/subscribers.md are what the code does.
func TestSubscribersPage(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "subscribers.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	is := strings.ReplaceAll(string(b), "\r\n", "\n")
	want := is
	for name, table := range map[string]string{"severities": severities(), "devices": devices(t), "headers": headers(t), "dump": dump(), "stream": settings()} {
		want = filled(t, want, name, table)
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("%s is not what the code does: go test ./streams -update", path)
	}
	for _, must := range []string{streams.EvtStream, streams.Evt("40", "CDM", "critical", "6b0b33df318f90fc"), streams.EvtTerminal("40"), streams.HeaderReplay,
		"<incarnation>.<sequence>.<index>.0"} {
		if !strings.Contains(is, must) {
			t.Errorf("%s does not say %q", path, must)
		}
	}
}

// filled puts a table between its marks.
func filled(t *testing.T, page, name, table string) string {
	t.Helper()
	before, rest, ok := strings.Cut(page, "<!-- "+name+" -->\n")
	_, after, closed := strings.Cut(rest, "<!-- end -->")
	if !ok || !closed {
		t.Fatalf("docs/subscribers.md has no place for %s", name)
	}
	return before + "<!-- " + name + " -->\n" + table + "<!-- end -->" + after
}

func severities() string {
	var b strings.Builder
	b.WriteString("| received | token |\n|---|---|\n")
	for _, s := range []string{"normal", "warning", "critical", "Critical", "важно"} {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", s, streams.Severity(s))
	}
	return b.String()
}

// devices are SPEC 2's.
func devices(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| received | token | device |\n|---|---|---|\n")
	for _, d := range [][3]string{{"0", "", "general"}, {"1", "PRR", "receipt printer"}, {"2", "IDC", "card reader"}, {"3", "CIM", "cash acceptor"},
		{"4", "SIU", "sensors and indicators"}, {"5", "", "alarm"}, {"6", "PIN", "PIN pad"}, {"7", "CDM", "cash dispenser"}, {"12", "", "state of devices"},
		{"13", "", "application; the edge itself"}, {"14", "PRJ", "journal printer"}} {
		received := "`" + d[0] + "`"
		if d[1] != "" {
			received += ", `" + d[1] + "`"
			if streams.Device(d[1]) != streams.Device(d[0]) {
				t.Errorf("%s and %s are two devices", d[0], d[1])
			}
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", received, streams.Device(d[0]), d[2])
	}
	fmt.Fprintf(&b, "| anything else: `8`, `cdm`, `07` | `%s` | |\n", streams.Device("8"))
	for _, s := range []string{"8", "cdm", "07"} {
		if streams.Device(s) != "other" {
			t.Errorf("device %s is %s", s, streams.Device(s))
		}
	}
	return b.String()
}

const life = "6b0b33df318f90fc"

// sample is an event with everything that needs an explanation.
func sample() (subject string, h event.Header, data []byte) {
	e := event.Event{ID: "01a223a7-2497-74b5-b0eb-53a272510444", Terminal: "00000040", Signature: "URAL", Severity: "critical", Device: "CDM",
		Time: time.Unix(1795894479, 0), Raw: []byte(`<event severity="critical" device="CDM" message="Замятие купюр" agent="ProATM" atm="00000040" eventtime="1795894479"/>`)}
	h = event.Header{}
	e.SetHeader(h)
	h[streams.HeaderPos] = []string{streams.Position{Incarnation: life, Seq: 4711, Index: 2}.String()}
	return streams.Evt(e.Terminal, e.Device, e.Severity, life), h, e.Raw
}

// headers are those of a real event, in the order of the explanations.
func headers(t *testing.T) string {
	explained := [][2]string{
		{"ce-specversion", ""}, {"ce-type", "always the same"}, {"ce-source", "the terminal that the event is of"},
		{"ce-id", "UUIDv7, unique; made at the receipt, the same on every way from there"}, {"ce-time", "see [times](#times)"},
		{"ce-terminal", "its number, 8 digits: the event's `atm`, else the edge's"}, {"ce-severity", "as received"}, {"ce-device", "as received, number or name"},
		{"ce-signature", "of the frame: which monitoring system it is for"}, {"content-type", "of the data"},
		{streams.HeaderPos, "its place at the edge, see [gaps](#gaps)"},
	}
	_, h, _ := sample()
	h[streams.HeaderRouted] = []string{streams.RoutedHub}
	explained = append(explained, [2]string{streams.HeaderRouted, "only where the hub's router delivers this terminal's events to the monitoring systems"})
	var b strings.Builder
	b.WriteString("| header | for example | is |\n|---|---|---|\n")
	for _, x := range explained {
		if h[x[0]] == nil {
			t.Errorf("no event has a header %s", x[0])
			continue
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", x[0], h[x[0]][0], x[1])
		delete(h, x[0])
	}
	for name := range h {
		t.Errorf("header %s is not explained", name)
	}
	// On replays only; see its chapter.
	e := event.Event{ID: "1", Terminal: "00000040", Replay: "r1"}
	r := event.Header{}
	if e.SetHeader(r); r["ce-replay"] == nil {
		t.Error("a replay has no ce-replay")
	}
	return b.String()
}

func dump() string {
	subject, h, data := sample()
	h["ce-severity"] = []string{"critical"}
	var b strings.Builder
	fmt.Fprintf(&b, "```\n%s\n", subject)
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%s: %s\n", name, h[name][0])
	}
	fmt.Fprintf(&b, "\n%s\n```\n", data)
	odd := event.Event{ID: "1", Terminal: "00000040", Severity: "важно, 100%"}
	o := event.Header{}
	odd.SetHeader(o)
	fmt.Fprintf(&b, "\nAn event with severity `%s` has the header `ce-severity: %s`, and the token `%s`.\n", odd.Severity, o["ce-severity"][0], streams.Severity(odd.Severity))
	return b.String()
}

// settings are those of EVT that a subscriber feels.
func settings() string {
	edge := streams.EvtConfig(streams.HubOptions{Replicas: 3, KeepAge: 30 * 24 * time.Hour, MaxBytes: 1 << 40})
	hub := streams.EvtConfig(streams.HubOptions{Replicas: 3, KeepAge: 30 * 24 * time.Hour, MaxBytes: 1 << 40, Route: true})
	full := func(c jetstream.StreamConfig) string {
		if c.Discard == jetstream.DiscardNew {
			return "takes nothing more; the edges keep, and send later"
		}
		return "the oldest make room"
	}
	age := func(c jetstream.StreamConfig) string {
		if c.MaxAge == 0 {
			return "by the router's keeper, when routed and older than its `keep_age`"
		}
		return "when older than `keep_age`"
	}
	yes := map[bool]string{true: "yes", false: "no"}
	return fmt.Sprintf(`| | routed at the edges | routed at the hub |
|---|---|---|
| an event is removed | %s | %s |
| the stream is full | %s | %s |
| replicas | as many as configured, 3 by default | the same |
| the last of a subject by direct get | %s | %s |
`, age(edge), age(hub), full(edge), full(hub), yes[edge.AllowDirect], yes[hub.AllowDirect])
}
