package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Issue 5: what an edge has stored, packed messages among it, is the same to the byte after
// export, import into a stream of the stock kind, and export again.
func TestReplayIsByteEqual(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.start("edge")
	const lanes, each = 16, 20
	var all sync.WaitGroup
	for lane := range lanes {
		all.Go(func() {
			for i := range each {
				s.accept("URAL", fmt.Sprintf("<?xml version='1.0' encoding='UTF-8'?>\n<event severity='warning' device='CDM' atm='40' message='«замятие» &lt;%d&gt; &amp; \t%d'/>", lane, i))
			}
		})
	}
	all.Wait()
	_, js := s.connect()
	packed, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := packed.GetLastMsgForSubject(t.Context(), streams.InBatch); err != nil || !event.IsBatch(event.Header(m.Header)) {
		t.Fatalf("no packed message: %v", err)
	}
	vestnik(s, "replay", "--out", s.path("a.jsonl"))
	want, err := os.ReadFile(s.path("a.jsonl"))
	if err != nil || strings.Count(string(want), "\n") != lanes*each {
		t.Fatalf("%v, %d events", err, strings.Count(string(want), "\n"))
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab.>"}}); err != nil {
		t.Fatal(err)
	}
	vestnik(s, "replay", "--from", s.path("a.jsonl"), "--to", "subject:lab.{terminal}")
	if got := vestnik(s, "replay", "--stream", "LAB", "--output", "jsonl"); got != string(want) {
		t.Errorf("the second export has %d bytes, the first %d", len(got), len(want))
	}
	s.processes["edge"].stop(t)
	for _, stream := range []string{"EVENTS", "LAB"} {
		if got := vestnik(s, "replay", "--store", s.path("data"), "--stream", stream, "--output", "jsonl"); got != string(want) {
			t.Errorf("the store's %s has %d bytes, the export %d", stream, len(got), len(want))
		}
	}
}

// SPEC 10 with the rights of `vestnik init --tls`: operator and observer analyse an
// incident, and nobody is refused anything by that; what an observer publishes is, and he
// is told.
func TestReplayWithRights(t *testing.T) {
	t.Parallel()
	s := runSecured(t, settings{Rules: `<rule name='no'><event_attrs a='never'/><event_params delivery='never'/></rule>`})
	for n, a := range []string{"plain", "never", "plain"} {
		s.accept("URAL", fmt.Sprintf(`<event severity='critical' device='CDM' message='событие %d' a='%s' atm='40'/>`, n, a))
	}
	await(t, s.uralsib.Monitor, 2)
	await(t, s.proxima.Monitor, 2)
	s.vestnik("replay", "--to", "sink:uralsib", "--text", "событие 2")
	atLeast(t, s.uralsib.Monitor, 3)
	first := s.vestnik("replay", "--output", "jsonl")
	observer := &secured{site: &site{t: t, dir: s.desk("observer")}}
	for role, s := range map[string]*secured{"operator": s, "observer": observer} {
		if got := s.vestnik("replay", "--output", "jsonl"); got != first || strings.Count(got, "\n") != 3 {
			t.Errorf("%s: %s", role, got)
		}
		if got := s.vestnik("replay", "--output", "csv", "--state", "suppressed", "--rule", "no"); strings.Count(got, "\n") != 2 || !strings.Contains(got, "событие 1") {
			t.Errorf("%s: %s", role, got)
		}
		if got := s.vestnik("timeline", "40"); !strings.Contains(got, "3 events") || strings.Contains(got, "not shown") {
			t.Errorf("%s: %s", role, got)
		}
		if got := s.vestnik("bundle", "-o", s.path(role+".zip")); !strings.Contains(got, "3 events") {
			t.Errorf("%s: %s", role, got)
		}
	}
	s.noViolation()
	_, stderr, code := run(t, nil, program("vestnik"), "replay", "--to", "subject:lab.{terminal}", "-c", observer.path("vestnik.conf"))
	if code != 1 || !strings.Contains(stderr, "no right to publish on lab.00000040") {
		t.Errorf("an observer publishes: exit %d, %s", code, stderr)
	}
}

// desk is a folder as somebody has it on his own computer: the configuration, and his own
// certificate.
func (s *secured) desk(role string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tls"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"vestnik.conf", "nats.conf", "rules.xml", "tls/ca.pem", "tls/" + role + ".pem", "tls/" + role + ".key"} {
		text, err := os.ReadFile(s.path(name))
		if err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}
