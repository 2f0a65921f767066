package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/event"
	"vestnik/internal/hub"
	"vestnik/internal/hub/hubtest"
	"vestnik/streams"
)

// At a hub of vestnik hub init with three servers: operator and observer look, the operator
// publishes again, the observer may not and is told so; the folder of a server that is
// stopped holds what the others say.
func TestIncidentAtASecureHub(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 3)
	h.MakeEvt(streams.HubOptions{})
	js := h.JetStream(hub.Operator)
	forward(t, h.Terminal("40"), 30)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab.>"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	do := func(role string, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		args = append(args, "-c", filepath.Join(h.Dir, role+".conf"))
		if err := run(t.Context(), args, nil, &out, &errs); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, &errs)
		}
		return out.String(), errs.String()
	}
	want, _ := do("operator", "replay", "--output", "jsonl")
	if n := strings.Count(want, "\n"); n != 30 {
		t.Fatalf("%d events\n%s", n, want)
	}
	for _, role := range []string{"operator", "observer"} {
		if got, _ := do(role, "replay", "--output", "jsonl", "--terminal", "40", "--since", "1h"); got != want {
			t.Errorf("%s: %s", role, cmp.Diff(want, got))
		}
		if out, _ := do(role, "timeline", "40", "--since", "1h"); !strings.Contains(out, "30 events") || !strings.Contains(out, "Commands are not shown") {
			t.Errorf("%s:\n%s", role, out)
		}
		file := filepath.Join(t.TempDir(), "b.zip")
		do(role, "bundle", "--unmasked", "-o", file)
		if got := unzip(t, file)["events.jsonl"]; got != want {
			t.Errorf("%s: %s", role, cmp.Diff(want, got))
		}
	}
	if _, errs := do("operator", "replay", "--to", "subject:lab.{terminal}"); !strings.Contains(errs, ": 30 stored by a stream, 0 published") {
		t.Errorf("%s", errs)
	}
	if got, _ := do("operator", "replay", "--stream", "LAB", "--output", "jsonl"); got != want {
		t.Error(cmp.Diff(want, got))
	}
	for _, subject := range []string{"lab.x", "elsewhere.x"} {
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"replay", "--to", "subject:" + subject, "-c", filepath.Join(h.Dir, "observer.conf")}, nil, &out, &errs)
		if err == nil || !strings.Contains(errs.String(), "no right to publish on") || !strings.Contains(errs.String(), subject) {
			t.Errorf("an observer publishes on %s: %v\n%s", subject, err, &errs)
		}
	}

	store := storeOf(t, h.Conf(2))
	h.Stop(2)
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"replay", "--store", store}, nil, &out, &errs); err != nil || out.String() != want || strings.Contains(errs.String(), "damage") {
		t.Errorf("%v\n%s\n%s", err, &errs, cmp.Diff(want, out.String()))
	}
	out.Reset()
	if err := run(t.Context(), []string{"timeline", "40", "--store", store}, nil, &out, &errs); err != nil || !strings.Contains(out.String(), "30 events") {
		t.Errorf("%v\n%s%s", err, &out, &errs)
	}
}

// storeOf is the folder that a server's configuration names.
func storeOf(t testing.TB, conf string) string {
	t.Helper()
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, rest, ok := strings.Cut(line, "store_dir:"); ok {
			dir := strings.Trim(strings.Fields(rest)[0], `"',`)
			if !filepath.IsAbs(dir) {
				dir = filepath.Join(filepath.Dir(conf), dir)
			}
			return dir
		}
	}
	t.Fatal("no store_dir in", conf)
	return ""
}

// forward stores events at the hub by the leaf link of an enrolled terminal.
func forward(t testing.TB, dir string, n int) {
	t.Helper()
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte("listen: \"127.0.0.1:-1\"\nserver_name: edge\njetstream { store_dir: data }\ninclude \"hub.conf\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{File: file, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc, err := b.Connect("edge", nats.CustomInboxPrefix("_INBOX.00000040"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for i := range n {
		now := time.Now()
		e := &event.Event{ID: event.NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "warning", Device: "CDM", Time: now,
			Raw: fmt.Appendf(nil, "<event severity='warning' device='CDM' atm='40' message='Замятие %d'/>", i)}
		m := nats.NewMsg(streams.Evt(e.Terminal, e.Device, e.Severity, "abc"))
		e.SetHeader(event.Header(m.Header))
		m.Header.Set("Nats-Msg-Id", e.ID)
		m.Data = e.Raw
		for end := time.Now().Add(20 * time.Second); ; {
			answer, err := nc.RequestMsg(m, 2*time.Second)
			if err == nil && strings.Contains(string(answer.Data), `"seq"`) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("EVT takes no event: %v %v", err, answer)
			}
			time.Sleep(5 * time.Millisecond) // between two tries, until the link stands
		}
	}
}
