package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/internal/e2e/faultfs"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// SPEC 1, 4: a power cut at any moment. All programs of the terminal's computer are
// killed at once, what was not synced is dropped, torn or written in any order, and
// they start again. Nothing that was answered 0 is lost, what is delivered twice has
// the same id, and everything else that a kill must not harm (TestKill9).
func TestPowerCut(t *testing.T) { t.Parallel(); cutAll(t, "", programs) }

// The same with everything in one process.
func TestPowerCutHosted(t *testing.T) {
	t.Parallel()
	cutAll(t, "router, uralsib, proxima", programs[:1])
}

// losses in the order of the rounds.
var losses = []faultfs.Loss{faultfs.All, faultfs.Torn, faultfs.Pages}

// powerRounds is 20 in the long form.
func powerRounds(t *testing.T, short int) int {
	if long() {
		short = 20
	}
	return number(t, "VESTNIK_ROUNDS", short)
}

func cutAll(t *testing.T, hosted string, programs []string) {
	seed, rounds := powerSeed(t), powerRounds(t, 4)
	c := &crash{t: t, programs: programs, rng: rand.New(rand.NewPCG(seed, 0)), queues: newQueues(), answered: map[string]time.Time{}}
	p := newPower(t, c, seed, settings{Run: hosted, URAL: "uralsib, proxima", Rules: crashRules, Limits: "keep_alive: on",
		Sink: `retry_min: "50ms", retry_max: "200ms"`, More: "store { events_bytes: 1GB }"})
	slow := func(b *simulate.Behaviour) { b.Delay = 3 * time.Millisecond } // so that something is always in flight
	c.site.uralsib.Change(slow)
	c.site.proxima.Change(slow)
	p.start()
	stop := p.load(seed)
	for i := range rounds {
		time.Sleep(time.Duration(100+c.rng.IntN(1500)) * time.Millisecond) // the load goes on
		p.cut(losses[i%len(losses)])
		p.start()
	}
	stop()
	p.checkStored()
	c.settle()
	c.queues.stop()
	c.check()
	p.checkBodies()
}

// powerSeed is what chance begins with; the log says how to repeat it.
func powerSeed(t *testing.T) uint64 {
	seed := number(t, "VESTNIK_SEED", int(rand.Uint32()))
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -count=1 -v -run '^%s$' ./internal/e2e", seed, powerRounds(t, 4), t.Name())
	return uint64(seed)
}

// fsyncDelay makes the disk so slow that a cut often falls between a write and its
// fsync.
const fsyncDelay = 5 * time.Millisecond

// power is a site whose store lies on a disk that loses power.
type power struct {
	*crash
	disk *faultfs.Disk
}

func newPower(t *testing.T, c *crash, seed uint64, o settings) *power {
	t.Helper()
	disk := faultfs.Mount(t, faultfs.Options{Seed: seed, FsyncDelay: fsyncDelay})
	c.site = newSite(t, o)
	c.site.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n", c.site.nats, filepath.Join(disk.Path, "data")))
	return &power{crash: c, disk: disk}
}

// start starts all programs; they must serve again without anybody's help.
func (p *power) start() {
	p.site.start(p.programs...)
	p.queues.follow(p.site)
	p.look()
	for i := range p.kills {
		if p.kills[i].to.IsZero() {
			p.kills[i].to = time.Now().Add(catchUp)
		}
	}
}

// A record is what DONE has as final at a moment: delivered, for good.
type record struct {
	at    time.Time
	final map[string]map[string]bool // by sink and id
}

func (p *power) look() {
	_, js := p.site.connect()
	if _, err := streams.Await(p.t.Context(), js, streams.Done); err != nil {
		p.t.Fatal(err)
	}
	r := record{final: map[string]map[string]bool{}}
	for _, sink := range []string{"uralsib", "proxima"} {
		r.final[sink] = map[string]bool{}
		for id, o := range outcomes(p.t, js, sink) {
			r.final[sink][id] = streams.Final(o.State)
		}
	}
	r.at = time.Now()
	p.records = append(p.records, r)
}

// inFlightMost is what may arrive twice by one kill. A disk with slow fsyncs is
// behind with the records: there it is what the sink bounds them to.
func (c *crash) inFlightMost() int {
	if len(c.records) > 0 {
		return 256
	}
	return inFlightMost
}

// explainByRecord: what was on record as delivered when the programs had started
// does not arrive again.
func (c *crash) explainByRecord(sink string, a simulate.Arrival) int {
	for _, r := range c.records {
		if r.at.Before(a.Time) && r.final[sink][a.ID] {
			c.t.Errorf("%s: event %s arrived again at %s, and was on record as delivered at %s", sink, a.ID,
				a.Time.Format(time.StampMilli), r.at.Format(time.StampMilli))
			return -1
		}
	}
	for i, k := range slices.Backward(c.kills) {
		if k.from.Before(a.Time) {
			return i
		}
	}
	c.t.Errorf("%s: event %s arrived twice before any kill", sink, a.ID)
	return -1
}

// catchUp is for what the cut took of ROUTE, which the router makes again first:
// until then a release may be late as if it were still down.
const catchUp = 2 * time.Second

// synced is how long the router's outputs may stay unsynced, and the keeper waits
// before it removes anything: twice (docs/adr/0009).
const synced = 2 * 2 * time.Second

// cut takes the power from all programs.
func (p *power) cut(loss faultfs.Loss) {
	p.queues.stop()
	at := time.Now()
	p.disk.Off()
	for _, name := range p.programs { // all are dying before the first is waited for
		_ = p.site.processes[name].cmd.Process.Kill() // it may be gone already
	}
	for _, name := range p.programs {
		p.site.processes[name].kill()
		p.kills = append(p.kills, kill{program: name, from: at})
	}
	lost := p.disk.Cut(loss)
	p.queues.forgetSince(at.Add(-synced))
	p.t.Logf("power cut at %s, loss %s: not synced were %d bytes in %d files, %d names", at.Format(time.StampMilli), loss, lost.Bytes, lost.Files, lost.Names)
}

// load sends from two terminals over one connection each, and from two with a
// connection per event. The events are large enough that the store begins new files
// now and then.
func (p *power) load(seed uint64) (stop func()) {
	filler := event.Attr{Name: "filler", Value: strings.Repeat("Ж", 1500)}
	kept := p.crash.load(seed, func(o *simulate.Options) {
		o.ATM, o.KeepAlive, o.Rate = o.ATM[:2], true, 120
		for i := range o.Templates {
			o.Templates[i].Fields = append(o.Templates[i].Fields, filler)
		}
	})
	single := p.crash.load(seed+1, func(o *simulate.Options) { o.ATM, o.Rate = o.ATM[2:], 120 })
	return func() { kept(); single() }
}

// A power cut right at the first start: while the programs make their streams,
// before the first event, and after it was answered.
func TestPowerCutAtFirstStart(t *testing.T) {
	t.Parallel()
	for _, loss := range losses {
		for _, at := range []string{"starting", "started", "first event"} {
			t.Run(loss.String()+" "+at, func(t *testing.T) {
				t.Parallel()
				p := newQuietPower(t, settings{URAL: "uralsib, proxima"})
				p.firstStart(at == "starting")
				want := 1
				if at == "first event" {
					p.site.accept("URAL", markerEvent)
					want = 2
				}
				p.cut(loss)
				p.site.start(programs...)
				p.site.accept("URAL", exampleEvent)
				confirmed(t, p.site.uralsib.Monitor, want)
				confirmed(t, p.site.proxima.Monitor, want)
				p.checkBodies()
			})
		}
	}
}

// firstStart starts the programs; half = only for so long that they are at it.
func (p *power) firstStart(half bool) {
	if !half {
		p.site.start(programs...)
		return
	}
	for _, name := range programs {
		p.site.launch(name)
	}
	time.Sleep(time.Duration(p.rng.IntN(400)) * time.Millisecond) // anywhere in it
}

// newQuietPower is a site without load.
func newQuietPower(t *testing.T, o settings) *power {
	seed := powerSeed(t)
	c := &crash{t: t, programs: programs, rng: rand.New(rand.NewPCG(seed, 0)), queues: newQueues(), answered: map[string]time.Time{}}
	return newPower(t, c, seed, o)
}

// Power cuts while both sinks are out: queues and held events wait through all of
// them. When the sinks are back everything comes once and in order, and the held
// group goes when its last event comes.
func TestPowerCutWithQueues(t *testing.T) {
	t.Parallel()
	rounds := powerRounds(t, 3)
	group := 30 * rounds // more than are held before the last cut
	p := newQuietPower(t, settings{URAL: "uralsib, proxima", Rules: fmt.Sprintf(`<rule name='count'><event_attrs kind='held'/><event_params period='count_%d'/></rule>`, group) + `
<rule name='low'><event_attrs kind='low'/><event_params priority='low'/></rule>`, Sink: `retry_min: "50ms", retry_max: "200ms"`})
	p.site.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	p.site.proxima.Vanish()
	p.site.start(programs...)
	sent, held := 0, 0
	for i := range rounds {
		for range 10 + p.rng.IntN(20) {
			kind := []string{"now", "low", "held"}[p.rng.IntN(3)]
			p.site.accept("URAL", fmt.Sprintf("<event severity='normal' device='12' kind='%s' atm='41' n='%s-%06d'/>", kind, kind, sent))
			sent++
			if kind == "held" {
				held++
			}
		}
		p.cut(losses[i%len(losses)])
		p.site.start(programs...)
	}
	p.site.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	if err := p.site.proxima.Return(); err != nil {
		t.Fatal(err)
	}
	confirmed(t, p.site.uralsib.Monitor, sent-held)
	confirmed(t, p.site.proxima.Monitor, sent-held)
	for n := held; n < group; n++ {
		p.site.accept("URAL", fmt.Sprintf("<event severity='normal' device='12' kind='held' atm='41' n='held-%06d'/>", sent))
		sent++
	}
	for _, m := range []*simulate.Monitor{p.site.uralsib.Monitor, p.site.proxima.Monitor} {
		confirmed(t, m, sent)
		inOrderByKind(t, m.Arrivals())
		if c := m.Counts(); c.Repeats > 0 || c.Invalid > 0 {
			t.Errorf("%+v", c)
		}
	}
	p.checkBodies()
}

// inOrderByKind: confirmed copies of each kind come by their numbers.
func inOrderByKind(t *testing.T, list []simulate.Arrival) {
	t.Helper()
	last := map[string]string{}
	for _, a := range list {
		if n := a.Attr("n"); a.Confirmed {
			if n <= last[a.Attr("kind")] {
				t.Errorf("%s: %s arrived behind %s", a.System, n, last[a.Attr("kind")])
			}
			last[a.Attr("kind")] = n
		}
	}
}

// checkStored ends the test if an event is lost: nothing else would add up.
func (p *power) checkStored() {
	p.t.Helper()
	_, js := p.site.connect()
	list, _ := truths(p.t, js)
	p.checkAnswered(list)
	if p.t.Failed() {
		p.t.FailNow()
	}
}

// checkBodies: an id means one event, at both sinks and in every copy.
func (p *power) checkBodies() {
	p.t.Helper()
	_, js := p.site.connect()
	bodies := map[string][]event.Attr{}
	for _, e := range stored(p.t, js) {
		attrs, err := proatm.Attributes(e.Raw)
		if err != nil {
			p.t.Fatal(err)
		}
		bodies[e.ID] = attrs
	}
	for _, a := range slices.Concat(p.site.uralsib.Arrivals(), p.site.proxima.Arrivals()) {
		if body, known := bodies[a.ID]; !known {
			p.t.Errorf("%s got event %s, which EVENTS has not: %v", a.System, a.ID, a.Attrs)
		} else if !slices.Equal(body, a.Attrs) {
			p.t.Errorf("%s got event %s as %v; it is %v", a.System, a.ID, a.Attrs, body)
		}
	}
}

// confirmed waits until a monitoring system has confirmed so many events.
func confirmed(t *testing.T, m *simulate.Monitor, n int) {
	t.Helper()
	what := func() string { return fmt.Sprintf("%d events confirmed, have %+v", n, m.Counts()) }
	eventually(t, 30*time.Second, what, func() bool { return m.Counts().Confirmed >= n })
	if c := m.Counts(); c.Confirmed != n || c.Invalid > 0 {
		t.Errorf("%d events confirmed, want %d: %+v", c.Confirmed, n, c)
	}
}

// long tells whether the long form of the tests is asked for.
func long() bool { return os.Getenv("VESTNIK_LONG") != "" }
