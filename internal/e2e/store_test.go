package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// A keptStore is what must be found in a store that an earlier version wrote:
// testdata/stores/NAME.tar.gz, with this as NAME.json beside it.
type keptStore struct {
	Version      string                       `json:"version"` // that wrote it
	Rules        string                       `json:"rules"`
	Signatures   string                       `json:"signatures"` // the sinks of signature URAL
	Paused       string                       `json:"paused"`     // the sink that is paused
	Incarnations string                       `json:"incarnations"`
	States       map[string]map[string]string `json:"states"` // by sink and event: its attribute n, or ownEvent
	// What goes by itself, in any order: what was set aside and what a timeout held,
	// whose times have come, and what is of another terminal.
	Due map[string][]string `json:"due"`
	// Once the pause ends; in this order.
	Pending []string `json:"pending"`
	// Once the event of attributes kind='held' comes that completes the group; in this order, before it.
	Held []string `json:"held"`
}

var storesDir = filepath.Join("testdata", "stores")

// ownEvent is the edge's own, which tells of the pause.
const ownEvent = "own"

// storeSettings are those of the site that writes and opens stores.
func storeSettings(rules, signatures string) settings {
	return settings{Rules: rules, URAL: signatures, Sink: `retry_min: "50ms", retry_max: "200ms", aside_min: "1s"`,
		More: `store { events_bytes: 64MB, keep_age: 36500d }`}
}

// An upgrade keeps the store: what any kept version has written, this one opens.
// What was held is held, and goes when its group is complete; what was owed is
// delivered; what was delivered is not delivered again; a pause is still one.
func TestKeptStores(t *testing.T) {
	t.Parallel()
	manifests, err := filepath.Glob(filepath.Join(storesDir, "*.json"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no kept stores: %v", err)
	}
	for _, manifest := range manifests {
		name := strings.TrimSuffix(filepath.Base(manifest), ".json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(manifest)
			if err != nil {
				t.Fatal(err)
			}
			var k keptStore
			if err := json.Unmarshal(data, &k); err != nil {
				t.Fatal(err)
			}
			for how, hosted := range map[string]string{"processes": "", "hosted": "router, uralsib, proxima"} {
				t.Run(how, func(t *testing.T) {
					t.Parallel()
					k.open(t, filepath.Join(storesDir, name+".tar.gz"), hosted)
				})
			}
		})
	}
}

func (k keptStore) open(t *testing.T, archive, hosted string) {
	o := storeSettings(k.Rules, k.Signatures)
	o.Run = hosted
	s := newSite(t, o)
	unpack(t, archive, s.path("data"))
	if hosted == "" {
		s.start(programs...)
	} else {
		s.start("edge")
	}
	for sink, m := range map[string]*simulate.Monitor{"uralsib": s.uralsib.Monitor, "proxima": s.proxima.Monitor} {
		if sink != k.Paused {
			wantArrivals(t, m, k.Due[sink], nil)
		}
		k.checkStates(s, sink)
	}
	_, js := s.connect()
	if got := incarnations(t, s); got != k.Incarnations {
		t.Errorf("incarnations %q, want %q", got, k.Incarnations)
	}
	if n, want := len(stored(t, js)), len(k.States["uralsib"]); n != want {
		t.Errorf("EVENTS has %d events, want %d", n, want)
	}
	k.checkPause(s)
	k.checkHeld(s)
}

// checkStates: what does not go by itself is as it was.
func (k keptStore) checkStates(s *site, sink string) {
	s.t.Helper()
	got := states(s, sink)
	for n, want := range k.States[sink] {
		if due := slices.Contains(k.Due[sink], n); !due && got[n] != want {
			s.t.Errorf("%s: event %s is %s, was %s", sink, n, got[n], want)
		}
	}
	if len(got) != len(k.States[sink]) {
		s.t.Errorf("%s: events %v, want %v", sink, got, k.States[sink])
	}
}

// checkPause: the paused sink gets nothing before, and everything after.
func (k keptStore) checkPause(s *site) {
	s.t.Helper()
	m := map[string]*simulate.Monitor{"uralsib": s.uralsib.Monitor, "proxima": s.proxima.Monitor}[k.Paused]
	if n := m.Counts().Requests; n > 0 {
		s.t.Errorf("%s is paused and got %d requests", k.Paused, n)
	}
	vestnik(s, "resume", "--sink", k.Paused)
	wantArrivals(s.t, m, k.Due[k.Paused], k.Pending)
}

// checkHeld: the last event of the group lets all of it go, to both sinks.
func (k keptStore) checkHeld(s *site) {
	s.t.Helper()
	s.accept("URAL", storeEvent("held", "held-last"))
	for sink, m := range map[string]*simulate.Monitor{"uralsib": s.uralsib.Monitor, "proxima": s.proxima.Monitor} {
		inOrder := append(slices.Clone(k.Held), "held-last")
		if sink == k.Paused {
			inOrder = append(slices.Clone(k.Pending), inOrder...)
		}
		wantArrivals(s.t, m, k.Due[sink], inOrder)
	}
}

// wantArrivals waits until a monitoring system has got exactly this, each once:
// some in any order, the others in theirs.
func wantArrivals(t *testing.T, m *simulate.Monitor, anyhow, inOrder []string) {
	t.Helper()
	confirmed(t, m, len(anyhow)+len(inOrder))
	var rest []string
	for _, a := range m.Arrivals() {
		if n := cmp.Or(a.Attr("n"), ownEvent); !slices.Contains(anyhow, n) {
			rest = append(rest, n)
		}
	}
	if got := m.Counts(); !slices.Equal(rest, inOrder) || got.Events != len(anyhow)+len(inOrder) {
		t.Errorf("arrived %q, want %q, and in any order %q: %+v", numbers(m.Arrivals()), inOrder, anyhow, got)
	}
}

func storeEvent(kind, n string) string {
	return fmt.Sprintf("<event severity='normal' device='12' message='Событие' atm='41' kind='%s' n='%s'/>", kind, n)
}

// vestnik runs the operator's command on a site.
func vestnik(s *site, args ...string) (stdout string) {
	s.t.Helper()
	stdout, stderr, code := run(s.t, nil, program("vestnik"), append(args, "-c", s.path("vestnik.conf"))...)
	if code != 0 {
		s.t.Fatalf("vestnik %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// states asks `vestnik queue` for a sink's events, by the attribute n.
func states(s *site, sink string) map[string]string {
	s.t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(vestnik(s, "queue", "--sink", sink, "--json")) {
		var e struct {
			State      string `json:"state"`
			Attributes []struct{ Name, Value string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatal(err)
		}
		n := ownEvent
		for _, a := range e.Attributes {
			if a.Name == "n" {
				n = a.Value
			}
		}
		got[n] = e.State
	}
	return got
}

func incarnations(t *testing.T, s *site) string {
	t.Helper()
	_, js := s.connect()
	events, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(streams.Incarnations(events.CachedInfo().Config.Metadata))
}

// make store-fixture: writes a store with this version into the test data.
func TestWriteStore(t *testing.T) {
	name := os.Getenv("VESTNIK_STORE_FIXTURE")
	if name == "" {
		t.Skip("writes test data: make store-fixture NAME=…")
	}
	k := keptStore{Signatures: "uralsib, proxima", Paused: "proxima",
		Rules: `<rule name='held'><event_attrs kind='held'/><event_params period='count_3'/></rule>
<rule name='late'><event_attrs kind='late'/><event_params period='timeout_8' priority='low'/></rule>
<rule name='never'><event_attrs kind='never'/><event_params delivery='never'/></rule>`,
		States: map[string]map[string]string{
			"uralsib": {ownEvent: "delivered", "first": "delivered", "never": "suppressed", "aside": "aside", "held-1": "held", "second": "delivered", "held-2": "held", "late": "held"},
			"proxima": {ownEvent: "pending", "first": "delivered", "never": "suppressed", "aside": "pending", "held-1": "held", "second": "pending", "held-2": "held", "late": "held"}},
		Due:     map[string][]string{"uralsib": {"aside", "late"}, "proxima": {ownEvent, "late"}},
		Pending: []string{"aside", "second"}, Held: []string{"held-1", "held-2"}}
	s := newSite(t, storeSettings(k.Rules, k.Signatures))
	s.moveTo(neutralDir)
	s.start(programs...)
	k.fill(s)
	k.Version = strings.TrimSpace(vestnikVersion(t))
	k.Incarnations = incarnations(t, s)
	for _, p := range slices.Backward(programs) {
		s.processes[p].stop(t)
	}
	_ = os.Remove(filepath.Join(s.path("data"), "vestnik.lock"))
	k.save(s, name)
}

// neutralDir says nothing of the machine: the store knows the path of the rules.
const neutralDir = "/var/lib/vestnik"

// moveTo moves a site that does not run yet to a folder that is not there yet.
func (s *site) moveTo(dir string) {
	s.t.Helper()
	if err := os.Mkdir(dir, 0o750); err != nil {
		s.t.Fatalf("the store is written in %s: %v", dir, err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"vestnik.conf", "nats.conf", "rules.xml"} {
		data, err := os.ReadFile(s.path(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.dir = dir
}

// fill makes events of every state.
func (k keptStore) fill(s *site) {
	s.t.Helper()
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "n", Text: "aside", Status: 422}} })
	s.accept("URAL", storeEvent("now", "first"))
	confirmed(s.t, s.uralsib.Monitor, 1)
	confirmed(s.t, s.proxima.Monitor, 1)
	vestnik(s, "pause", "--sink", k.Paused)
	eventually(s.t, 5*time.Second, say("pause in force"), func() bool {
		return strings.Contains(strings.ReplaceAll(vestnik(s, "status", "--json"), " ", ""), `"paused":true`)
	})
	for _, n := range []string{"never", "aside", "held-1", "second", "held-2", "late"} {
		kind, _, _ := strings.Cut(n, "-")
		s.accept("URAL", storeEvent(kind, n))
	}
	for sink, want := range k.States {
		eventually(s.t, 5*time.Second, func() string { return fmt.Sprintf("%s: %v, have %v", sink, want, states(s, sink)) },
			func() bool { return maps.Equal(states(s, sink), want) })
	}
}

func vestnikVersion(t *testing.T) string {
	t.Helper()
	out, _, _ := run(t, nil, program("edge"), "--version")
	return out
}

// save packs the store, and refuses one that tells of the machine or is large.
func (k keptStore) save(s *site, name string) {
	s.t.Helper()
	if err := os.MkdirAll(storesDir, 0o750); err != nil {
		s.t.Fatal(err)
	}
	err := filepath.WalkDir(s.path("data"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(os.TempDir())) {
			s.t.Errorf("%s names the folder %s", d.Name(), os.TempDir())
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	archive := filepath.Join(storesDir, name+".tar.gz")
	pack(s.t, archive, s.path("data"))
	if info, err := os.Stat(archive); err != nil || info.Size() > 200<<10 {
		s.t.Fatalf("%s: %v, %d bytes", archive, err, info.Size())
	}
	var manifest bytes.Buffer
	enc := json.NewEncoder(&manifest)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(k); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(storesDir, name+".json"), manifest.Bytes(), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
