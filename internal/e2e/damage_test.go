package e2e_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/scrub"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

const damageRules = `<rule name='wait'><event_attrs kind='wait'/><event_params period='timeout_1'/></rule>
<rule name='low'><event_attrs kind='low'/><event_params priority='low'/></rule>`

// A harm is one damage to the files of a stream, while no program runs.
type harm struct {
	stream string
	kind   string
	killed bool // kill -9 before, else a clean stop
	hosted bool // everything in one process
}

// The short form: what differs.
var harms = []harm{
	{streams.Events, "flip", false, true},
	{streams.Events, "cut", true, false},
	{streams.Events, "scribble", false, true},
	{streams.Events, "meta", false, true},
	{streams.Route, "hole", false, true},
	{streams.Route, "removed", true, true},
	{streams.Done, "cut", false, true},
	{streams.Done, "scribble", true, true},
	{"KV_CONTROL", "tail", false, true},
}

var harmKinds = []string{"flip", "scribble", "page", "hole", "cut", "tail", "zero", "empty", "removed", "index", "noindex", "meta", "sum", "gone"}

// Promise 3: a flipped bit or a cut file in the store. Nothing corrupt is delivered,
// what is lost is reported, the rest goes on, and nothing that is accepted afterwards
// is skipped. VESTNIK_ROUNDS adds so many random damages.
func TestDamage(t *testing.T) {
	seed, rounds := number(t, "VESTNIK_SEED", int(rand.Uint32())), number(t, "VESTNIK_ROUNDS", 0)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -count=1 -run 'TestDamage$' ./internal/e2e", seed, rounds)
	list := slices.Clone(harms)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	for range rounds {
		all := []string{streams.Events, streams.Events, streams.Route, streams.Route, streams.Done, "KV_CONTROL"}
		list = append(list, harm{all[rng.IntN(len(all))], harmKinds[rng.IntN(len(harmKinds))], rng.IntN(2) == 0, rng.IntN(4) > 0})
	}
	for i, h := range list {
		at := rand.New(rand.NewPCG(uint64(seed), uint64(i+1)))
		t.Run(fmt.Sprintf("%d %s %s killed=%v hosted=%v", i, h.stream, h.kind, h.killed, h.hosted), func(t *testing.T) {
			t.Parallel()
			d := &damaged{t: t, harm: h, rng: at, kinds: []string{"now", "wait", "low", "aside"}, sent: map[string][]event.Attr{}}
			d.run()
		})
	}
}

type damaged struct {
	t    *testing.T
	harm harm
	rng  *rand.Rand
	site *site

	kinds []string // of the events sent

	mu   sync.Mutex
	sent map[string][]event.Attr // what was answered 0, by its number
	n    int
	seqs map[string]uint64 // where EVENTS had it
}

func (d *damaged) run() {
	o := settings{URAL: "uralsib, proxima", Rules: damageRules, Sink: `retry_min: "50ms", retry_max: "200ms", aside_min: "200ms"`}
	names := programs
	if d.harm.hosted {
		o.Run, names = "router, uralsib, proxima", programs[:1]
	}
	d.site = newSite(d.t, o)
	d.site.proxima.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "kind", Text: "aside", Status: 400}} })
	d.site.start(names...)
	d.load(40)
	d.await("the first at uralsib", d.site.uralsib.Monitor, 20)
	d.pause()
	d.site.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	d.load(40)
	d.await("most at proxima", d.site.proxima.Monitor, 40)
	d.look()
	d.end(names)
	d.do()
	d.site.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	d.site.proxima.Change(func(b *simulate.Behaviour) { b.Match = nil })
	d.site.start(names...)
	d.kinds = []string{"now", "low", "aside"}
	d.load(20)
	d.check()
	found := damageOf(d.t, d.site)
	for _, name := range slices.Backward(names) {
		d.site.processes[name].stop(d.t)
	}
	d.site.start(names...)
	if again := damageOf(d.t, d.site); len(again) != len(found) {
		d.t.Errorf("reported at the next start again: %+v", again)
	}
	d.load(1)
	d.check()
	d.checkOwn(len(found))
}

// pause makes KV_CONTROL hold something.
func (d *damaged) pause() {
	for _, verb := range []string{"pause", "resume"} {
		if _, stderr, code := run(d.t, nil, program("vestnik"), verb, "-c", d.site.path("vestnik.conf"), "--sink", "uralsib"); code != 0 {
			d.t.Fatalf("%s: %s", verb, stderr)
		}
	}
}

// load sends events of all kinds from four terminals.
func (d *damaged) load(n int) {
	var wg sync.WaitGroup
	for atm := range 4 {
		wg.Go(func() {
			for i := range n {
				if i%4 == atm {
					d.send(41 + atm)
				}
			}
		})
	}
	wg.Wait()
}

func (d *damaged) send(atm int) {
	d.mu.Lock()
	d.n++
	number := fmt.Sprintf("%04d", d.n)
	kind := d.kinds[(d.n/4)%len(d.kinds)]
	d.mu.Unlock()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(number)))
	attrs := []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}, {Name: "message", Value: "Событие " + sum},
		{Name: "atm", Value: fmt.Sprint(atm)}, {Name: "kind", Value: kind}, {Name: "n", Value: number}, {Name: "sum", Value: sum}}
	var b strings.Builder
	b.WriteString("<event")
	for _, a := range attrs {
		fmt.Fprintf(&b, " %s='%s'", a.Name, a.Value)
	}
	d.site.accept("URAL", b.String()+"/>")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent[number] = attrs
}

func (d *damaged) await(what string, m *simulate.Monitor, n int) {
	d.t.Helper()
	eventually(d.t, 30*time.Second, func() string { return fmt.Sprintf("%s: %d, want %d", what, m.Counts().Confirmed, n) },
		func() bool { return m.Counts().Confirmed >= n })
}

// look remembers where EVENTS has each event.
func (d *damaged) look() {
	_, js := d.site.connect()
	d.seqs = map[string]uint64{}
	scan(d.t, js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		list, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return err
		}
		for _, e := range list {
			_, after, _ := strings.Cut(string(e.Raw), " n='")
			number, _, _ := strings.Cut(after, "'")
			d.seqs[number] = streams.Seq(m)
		}
		return nil
	})
}

// end stops everything, cleanly or not.
func (d *damaged) end(names []string) {
	for _, name := range slices.Backward(names) {
		if d.harm.killed {
			d.site.processes[name].kill()
		} else {
			d.site.processes[name].stop(d.t)
		}
	}
}

// do does the harm.
func (d *damaged) do() {
	dir := d.site.path(filepath.Join("data", "jetstream", "$G", "streams", d.harm.stream))
	switch d.harm.kind {
	case "gone":
		d.must(os.RemoveAll(dir))
		return
	case "noindex":
		d.must(os.RemoveAll(filepath.Join(dir, "msgs", "index.db")))
		return
	}
	path := filepath.Join(dir, "meta.inf")
	switch d.harm.kind {
	case "sum":
		path = filepath.Join(dir, "meta.sum")
	case "index":
		path = filepath.Join(dir, "msgs", "index.db")
	case "meta":
	default:
		blocks, err := filepath.Glob(strings.ReplaceAll(dir, "$", `\$`) + "/msgs/*.blk")
		if err != nil || len(blocks) == 0 {
			d.t.Fatalf("no blocks in %s: %v", dir, err)
		}
		path = blocks[d.rng.IntN(len(blocks))]
	}
	if d.harm.kind == "removed" {
		d.must(os.Remove(path))
		return
	}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) { // no index yet
		return
	}
	d.must(err)
	d.must(os.WriteFile(path, d.harmed(data), 0o600))
}

func (d *damaged) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *damaged) harmed(data []byte) []byte {
	at := d.rng.IntN(max(len(data), 1))
	d.t.Logf("%s %s at %d of %d", d.harm.stream, d.harm.kind, at, len(data))
	switch d.harm.kind {
	case "flip", "meta", "sum", "index":
		data[at] ^= 1 << d.rng.IntN(8)
	case "scribble":
		for i := at; i < min(at+100, len(data)); i++ {
			data[i] = byte(d.rng.Uint32())
		}
	case "page":
		at &^= 4095
		clear(data[at:min(at+4096, len(data))])
	case "hole":
		clear(data[len(data)/5 : len(data)/5*4])
	case "cut":
		data = data[:at]
	case "tail":
		data = data[:max(len(data)-40, 0)]
	case "zero":
		clear(data)
	case "empty":
		data = nil
	}
	return data
}

// damageOf is what vestnik status tells, as soon as the edge answers.
func damageOf(t *testing.T, site *site) []scrub.Damage {
	t.Helper()
	var s struct {
		Programs []struct {
			Running bool `json:"running"`
		} `json:"programs"`
		Damage []scrub.Damage `json:"damage"`
	}
	eventually(t, 10*time.Second, say("an answer of the edge to status"), func() bool {
		stdout, stderr, code := run(t, nil, program("vestnik"), "status", "--json", "-c", site.path("vestnik.conf"))
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != 0 {
			t.Fatalf("status: exit code %d, %v\n%s", code, err, stderr)
		}
		return s.Programs[0].Running // the edge
	})
	return s.Damage
}

// check waits until everything has arrived but what is reported lost.
func (d *damaged) check() {
	d.t.Helper()
	found := damageOf(d.t, d.site)
	for _, m := range []*simulate.Monitor{d.site.uralsib.Monitor, d.site.proxima.Monitor} {
		var missing []string
		eventually(d.t, 40*time.Second, func() string { return fmt.Sprintf("missing and not reported: %v; reported: %+v", missing, found) }, func() bool {
			missing = slices.DeleteFunc(d.missing(m), func(n string) bool { return lostIn(found, d.seqs[n]) })
			return len(missing) == 0
		})
		d.checkBodies(m)
		if c := m.Counts(); c.Repeats > 0 && !d.harm.killed && d.harm.stream != streams.Done {
			d.t.Errorf("%d events arrived twice, and DONE was not damaged", c.Repeats)
		}
	}
	if sure := []string{"flip", "scribble", "hole", "zero", "tail", "meta", "gone"}; len(found) == 0 && !d.harm.killed && slices.Contains(sure, d.harm.kind) {
		d.t.Errorf("nothing is reported")
	}
	if len(found) > 1 {
		d.t.Errorf("one damage, reported: %+v", found)
	}
}

func (d *damaged) missing(m *simulate.Monitor) []string {
	there := map[string]bool{}
	for _, a := range m.Arrivals() {
		there[a.Attr("n")] = there[a.Attr("n")] || a.Confirmed
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d.sent)), func(n string) bool { return there[n] })
}

// lostIn tells whether a message of EVENTS is among those reported lost.
func lostIn(found []scrub.Damage, seq uint64) bool {
	return slices.ContainsFunc(found, func(one scrub.Damage) bool {
		return one.Stream == streams.Events && slices.ContainsFunc(one.Ranges, func(r scrub.Range) bool { return r.From <= seq && seq <= r.To })
	})
}

// checkBodies: what arrives is what was sent, attribute by attribute.
func (d *damaged) checkBodies(m *simulate.Monitor) {
	d.t.Helper()
	for _, a := range m.Arrivals() {
		if a.Problem != "" {
			d.t.Errorf("%s got what departs from the specification: %s", a.System, a.Problem)
		}
		if a.Attr("agent") != "Vestnik" && !slices.Equal(a.Attrs, d.sent[a.Attr("n")]) {
			d.t.Errorf("%s got %v, which was never sent", a.System, a.Attrs)
		}
	}
}

// checkOwn: the loss is a critical event of the edge's own, once.
func (d *damaged) checkOwn(want int) {
	for _, m := range []*simulate.Monitor{d.site.uralsib.Monitor, d.site.proxima.Monitor} {
		own := map[string]bool{}
		for _, a := range m.Arrivals() {
			if a.Attr("agent") == "Vestnik" && a.Attr("severity") == "critical" && strings.Contains(a.Attr("message"), d.harm.stream) {
				own[a.ID] = true
			}
		}
		if len(own) != want {
			d.t.Errorf("%d reports reached a monitoring system, want %d", len(own), want)
		}
	}
}
