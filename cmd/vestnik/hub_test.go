package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/hub"
	"vestnik/internal/hub/hubtest"
	"vestnik/streams"
)

// hubRun runs a command and returns what it printed, and its exit status.
func hubRun(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	var b bytes.Buffer
	if err := run(t.Context(), args, strings.NewReader(""), &b, &b); err != nil {
		status = exitCode(err)
	}
	return b.String(), status
}

// The commands of the hub against one that runs: streams are made and compared, terminals
// enrolled, shown and revoked.
func TestHubCommands(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 1)
	dir, out := h.Dir, t.TempDir()
	ok := func(want string, args ...string) string {
		t.Helper()
		text, status := hubRun(t, args...)
		if status != 0 || !strings.Contains(text, want) {
			t.Fatalf("vestnik %s: status %d, want %q in\n%s", strings.Join(args, " "), status, want, text)
		}
		return text
	}
	bad := func(status int, want string, args ...string) {
		t.Helper()
		text, got := hubRun(t, args...)
		if got != status || !strings.Contains(text, want) {
			t.Fatalf("vestnik %s: status %d, want %d and %q in\n%s", strings.Join(args, " "), got, status, want, text)
		}
	}
	bad(1, "not there", "hub", "diff", "--hub", dir)
	bad(1, "not permitted", "hub", "apply", "-c", filepath.Join(dir, "observer.conf"), "--replicas", "1")
	ok("", "hub", "apply", "--hub", dir)
	ok("as it is to be", "hub", "diff", "--hub", dir)
	ok("as it is to be", "hub", "diff", "--hub", dir, "--replicas", "1")
	bad(1, "max_bytes             none                      1000000", "hub", "diff", "--hub", dir, "--max-bytes", "1000000")
	ok("", "hub", "apply", "--hub", dir, "--max-bytes", "1000000", "--keep-age", "90d", "--route")
	ok("ROUTE                           as it is to be", "hub", "diff", "--hub", dir, "--max-bytes", "1000000", "--keep-age", "90d", "--route")
	bad(2, "is no hub's folder", "hub", "diff", "--hub", out)
	ok("EVT", "hub", "diff", "-c", filepath.Join(dir, "observer.conf"), "--replicas", "1", "--route")

	ok("good until", "enroll", "40", "41", "--hub", dir, "--out", out, "--expires", "10d")
	ok("reads evt.00000040.*.critical.*", "enroll", "--subscriber", "soc", "--terminal", "40", "--severity", "critical", "--hub", dir, "--out", out)
	ok("in force at hub-1", "enroll", "--subscriber", "arch", "--durable", "--hub", dir, "--out", out)
	nc, err := h.Dial(filepath.Join(out, "arch", "hub.creds"), nats.CustomInboxPrefix("_INBOX.arch"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if m, err := nc.Request("central.API.CONSUMER.INFO.EVT.arch", nil, 5*time.Second); err != nil || !strings.Contains(string(m.Data), `"durable_name":"arch"`) {
		t.Errorf("his consumer: %v %v", m, err)
	}
	ok("reads evt.*.*.critical.*", "enroll", "--subscriber", "arch", "--durable", "--severity", "critical", "--hub", dir, "--out", out)
	if m, err := nc.Request("central.API.CONSUMER.INFO.EVT.arch", nil, 5*time.Second); err != nil || !strings.Contains(string(m.Data), `"evt.*.*.critical.*"`) || strings.Contains(string(m.Data), `"evt.>"`) {
		t.Errorf("enrolled anew for less, his consumer still has all: %s %v", m.Data, err)
	}
	consumersOfSubscribers(t, h, ok, bad)
	oddEnrolments(t, dir, out, ok, bad)
	text := ok("2 will be let in for less than 30 days more", "hub", "ls", "--hub", dir)
	if !strings.Contains(text, "hub-1 from 127.0.0.1:") {
		t.Errorf("nobody is connected:\n%s", text)
	}
	ok("revoked: 00000040", "revoke", "40", "--hub", dir)
	ok("in force at hub-1", "revoke", "--subscriber", "arch", "--hub", dir)
	bad(1, "has no credentials of this hub", "revoke", "77", "--hub", dir)
	states := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(ok("", "hub", "ls", "--hub", dir, "--json")), "\n") {
		var e struct{ Terminal, Subscriber, State string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		states[e.Terminal+e.Subscriber] = e.State
	}
	for who, want := range map[string]string{"00000040": "revoked", "00000041": "soon", "soc": "good", "arch": "revoked"} {
		if states[who] != want {
			t.Errorf("%s is %s, want %s", who, states[who], want)
		}
	}
	var s hubState
	if err := json.Unmarshal([]byte(ok("", "hub", "status", "--hub", dir, "--json")), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Servers) != 1 || !s.Servers[0].Up || len(s.Streams) != 3 || len(s.Terminals) != 1 || len(s.Problems) != 0 {
		t.Errorf("%+v", s)
	}
	ok("SERVER", "hub", "status", "--hub", dir)
}

// EVT deleted and made anew takes the consumers of subscribers along: they are told of and
// made again, from the first event that there is.
func consumersOfSubscribers(t *testing.T, h *hubtest.Hub, ok func(string, ...string) string, bad func(int, string, ...string)) {
	t.Helper()
	js, dir := h.JetStream("operator"), h.Dir
	ok("consumer arch         as it is to be", "hub", "diff", "--hub", dir, "--route")
	if err := js.DeleteStream(t.Context(), "EVT"); err != nil {
		t.Fatal(err)
	}
	evt := h.MakeEvt(streams.HubOptions{Route: true})
	bad(1, "consumer arch         not there", "hub", "diff", "--hub", dir, "--route")
	ok("subscriber arch has no consumer", "hub", "status", "--hub", dir)
	ok("subscriber arch has no consumer", "hub", "ls", "--hub", dir)
	if text := ok("subscriber arch has his consumer again", "hub", "apply", "--hub", dir, "--route"); strings.Contains(text, "soc") {
		t.Errorf("of who has none:\n%s", text)
	}
	c, err := evt.Consumer(t.Context(), "arch")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := c.CachedInfo().Config; cfg.DeliverPolicy != jetstream.DeliverAllPolicy || cfg.FilterSubject+strings.Join(cfg.FilterSubjects, " ") != "evt.*.*.critical.*" {
		t.Errorf("made again: %+v", cfg)
	}
	cfg := hub.Consumer("arch", []string{"evt.>"}, jetstream.DeliverAllPolicy)
	if _, err := js.CreateOrUpdateConsumer(t.Context(), "EVT", cfg); err != nil {
		t.Fatal(err)
	}
	bad(1, "consumer arch filter", "hub", "diff", "--hub", dir, "--route")
	ok("", "hub", "apply", "--hub", dir, "--route")
	ok("consumer arch         as it is to be", "hub", "diff", "--hub", dir, "--route")
}

// Who is named twice, or cannot be given his files, is not enrolled; and of one who is
// enrolled anew the latest is listed.
func oddEnrolments(t *testing.T, dir, out string, ok func(string, ...string) string, bad func(int, string, ...string)) {
	t.Helper()
	record := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "enrolled.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := record()
	bad(1, "terminal 00000051 is named twice", "enroll", "50", "51", "00000051", "--hub", dir, "--out", out)
	file := filepath.Join(out, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	bad(1, "make the folder", "enroll", "50", "--hub", dir, "--out", file)
	bad(1, "make the folder", "enroll", "--subscriber", "x", "--hub", dir, "--out", file)
	if after := record(); after != before {
		t.Errorf("recorded: %s", strings.TrimPrefix(after, before))
	}
	if text := ok("reads evt.*.7.*.* evt.*.other.*.*", "enroll", "--subscriber", "twice", "--device", "CDM,7,other", "--hub", dir, "--out", out, "--expires", "60d"); strings.Count(text, "evt.*.7") != 2 {
		t.Errorf("a subject twice:\n%s", text)
	}
	ok(filepath.Join(out, "<its number>"), "enroll", "52", "53", "--hub", dir, "--out", out, "--expires", "60d")
	ok("", "enroll", "52", "--hub", dir, "--out", out, "--expires", "60d")
	if text := ok("earlier still let somebody in", "hub", "ls", "--hub", dir, "--offline"); strings.Count(text, "00000052") != 1 {
		t.Errorf("more than the latest:\n%s", text)
	}
	if text := ok("replaced", "hub", "ls", "--hub", dir, "--offline", "--all"); strings.Count(text, "00000052") != 2 {
		t.Errorf("not all:\n%s", text)
	}
	ok("", "revoke", "52", "53", "--hub", dir)
}

// A hub whose JetStream does not answer is not said to be without EVT.
func TestHubStatusWhileStarting(t *testing.T) {
	t.Parallel()
	_, js := brokertest.Start(t)
	s := &hubState{}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.streams(over, js)
	if len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "does not answer yet") {
		t.Errorf("%q", s.Problems)
	}
}

// Wrong command lines are told of.
func TestHubUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"hub init x", "give the servers' names with --host"},
		{"hub init x --host a,b", "2 servers, want 1, 3 or 5"},
		{"hub init x --local --days 0", "--days 0"},
		{"enroll 40", "--hub FOLDER is missing"},
		{"enroll --hub x", "give terminals' numbers"},
		{"enroll 4x --hub " + t.TempDir(), "is no hub's folder"},
		{"enroll 40 --subscriber a --hub x", "not both at once"},
		{"enroll 40 --severity critical --hub x", "go with --subscriber"},
		{"enroll 40 --expires 9999999d --hub x", "from 1s to 36500d"},
		{"enroll --subscriber a --device foo --hub x", `device "foo"`},
		{"enroll --subscriber a --device * --hub x", `device "*"`},
		{"enroll --subscriber a --severity Critical --hub x", `severity "Critical"`},
		{"enroll --subscriber a --severity critical,> --hub x", `severity ">"`},
		{"enroll 40 --expires never --hub x", "--expires never"},
		{"revoke --hub " + t.TempDir(), "is no hub's folder"},
		{"hub ls", "--hub FOLDER is missing"},
	} {
		text, status := hubRun(t, strings.Fields(c.args)...)
		if status != 1 || !strings.Contains(text, c.want) {
			t.Errorf("vestnik %s: status %d\n%s", c.args, status, text)
		}
	}
}

// What fails for all terminals is one problem, not one line each.
func TestHubStatusOfManyFails(t *testing.T) {
	t.Parallel()
	_, js := brokertest.Start(t)
	evt, err := js.CreateStream(t.Context(), streams.EvtConfig(streams.HubOptions{Replicas: 1}))
	if err != nil {
		t.Fatal(err)
	}
	s := &hubState{Terminals: make([]termState, 100)}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	s.lasts(over, evt)
	if len(s.Problems) != 1 || strings.Contains(s.Problems[0], "\n") || !strings.Contains(s.Problems[0], "100 terminals") {
		t.Errorf("%q", s.Problems)
	}
}
