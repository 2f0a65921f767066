package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/simulate"
)

// crashRules has every way that an event can go, chosen by the attribute kind.
const crashRules = `<rule name='high'><event_attrs kind='high'/><event_params priority='high'/></rule>
<rule name='count'><event_attrs kind='count'/><event_params period='count_5'/></rule>
<rule name='wait'><event_attrs kind='wait'/><event_params period='timeout_1'/></rule>
<rule name='both'><event_attrs kind='both'/><event_params period='count_4,timeout_2' priority='low'/></rule>
<rule name='never'><event_attrs kind='never'/><event_params delivery='never'/></rule>`

// A period is what a rule of crashRules holds under.
type period struct {
	count   int
	timeout time.Duration
}

var crashPeriods = map[string]period{"count": {5, 0}, "wait": {0, time.Second}, "both": {4, 2 * time.Second}}

// SPEC 1, 3, 4 under kill -9 of each process in mid-load: nothing that was
// answered 0 is lost; no event enters a sink's queue twice; held events keep counts
// and deadlines; order per terminal and lane; what is delivered twice was in flight
// at a kill.
func TestKill9(t *testing.T) { killAll(t, "", programs) }

// The same with everything in one process, where parts hand on in memory.
func TestKill9Hosted(t *testing.T) { killAll(t, "router, uralsib, proxima", programs[:1]) }

func killAll(t *testing.T, hosted string, programs []string) {
	seed, rounds := number(t, "VESTNIK_SEED", int(rand.Uint32())), number(t, "VESTNIK_ROUNDS", 12)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d", seed, rounds)
	c := &crash{t: t, programs: programs, rng: rand.New(rand.NewPCG(uint64(seed), 0)), queues: newQueues(), answered: map[string]time.Time{},
		site: newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Rules: crashRules, Sink: `retry_min: "50ms", retry_max: "200ms"`})}
	slow := func(b *simulate.Behaviour) { b.Delay = 3 * time.Millisecond } // so that something is always in flight
	c.site.uralsib.Change(slow)
	c.site.proxima.Change(slow)
	c.site.start(programs...)
	c.queues.follow(c.site)
	c.timed = true
	c.stalls.watch(t)
	stopLoad := c.load(uint64(seed), func(*simulate.Options) {})
	for range rounds {
		c.round()
	}
	stopLoad()
	c.settle()
	c.queues.stop()
	c.check()
	if found := damageOf(t, c.site); len(found) > 0 {
		t.Errorf("kill -9 is taken for damage: %+v", found)
	}
}

func number(t *testing.T, name string, dflt int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return dflt
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

type crash struct {
	t        *testing.T
	programs []string
	rng      *rand.Rand
	site     *site
	queues   *queues
	kills    []kill
	timed    bool // restarts are
	stalls   stalls
	records  []record // what was on record at some moments, if the test looks

	mu       sync.Mutex
	answered map[string]time.Time // when events were answered with code 0, by attribute n
}

// A kill is the time in which a program was not at work.
type kill struct {
	program  string
	from, to time.Time
	launched time.Time // when it was started again; programs killed together share it
}

// load sends events of all kinds from four terminals, or as change has it, until
// it is stopped.
func (c *crash) load(seed uint64, change func(*simulate.Options)) (stop func()) {
	var kinds []simulate.Template
	for _, kind := range []string{"now", "high", "count", "wait", "both", "never"} {
		kinds = append(kinds, simulate.Template{Name: kind, Weight: 1, Fields: []event.Attr{
			{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}, {Name: "message", Value: "Событие " + kind},
			{Name: "atm", Value: "#TERMINAL_ID#"}, {Name: "kind", Value: kind}}})
	}
	terminal := simulate.Terminal{Options: simulate.Options{Addr: c.site.terminal, ATM: []string{"41", "42", "43", "44"}, Rate: 250,
		Templates: kinds, Tag: "n", Seed: seed, RetryPause: 20 * time.Millisecond, AnswerTimeout: 5 * time.Second,
		OnAnswer: func(sent simulate.Sent, r simulate.Result, err error) {
			if err == nil && r.Code == code.OK {
				c.mu.Lock()
				c.answered[lookup(sent.Attrs, "n")] = time.Now()
				c.mu.Unlock()
			}
		}}}
	change(&terminal.Options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		report, err := terminal.Run(ctx)
		if err != nil {
			c.t.Error(err)
		}
		c.t.Logf("sent %d events, confirmed %d, sendings of unknown outcome %d, codes %v", report.Events, report.Confirmed, report.Uncertain, report.Codes)
	}()
	stop = func() { cancel(); <-done }
	c.t.Cleanup(stop)
	return stop
}

func lookup(attrs []event.Attr, name string) string {
	v, _ := event.Lookup(attrs, name)
	return v
}

// round kills one program, now and then two, at any moment, and starts them again.
func (c *crash) round() {
	time.Sleep(time.Duration(50+c.rng.IntN(350)) * time.Millisecond) // the load goes on
	if len(c.kills)%3 == 2 {
		time.Sleep(600 * time.Millisecond) // long enough to see what the restart took
	}
	victims := c.rng.Perm(len(c.programs))[:1]
	if c.rng.IntN(4) == 0 {
		victims = c.rng.Perm(len(c.programs))[:min(2, len(c.programs))]
	}
	slices.Sort(victims)
	var names []string
	for _, i := range victims {
		names = append(names, c.programs[i])
	}
	edge := names[0] == "edge"
	if edge {
		c.queues.stop()
	}
	first := len(c.kills)
	for _, name := range names {
		c.site.processes[name].kill()
		c.kills = append(c.kills, kill{program: name, from: time.Now()})
	}
	time.Sleep(time.Duration(c.rng.IntN(150)) * time.Millisecond) // and so does the world without it
	launched := time.Now()
	c.site.start(names...)
	for i := first; i < len(c.kills); i++ {
		c.kills[i].launched, c.kills[i].to = launched, time.Now()
	}
	if edge {
		c.queues.follow(c.site)
	}
}

// settle waits until everything that must arrive has been confirmed.
func (c *crash) settle() {
	_, js := c.site.connect()
	list, _ := truths(c.t, js)
	want := expected(list)
	missing := func() string {
		return fmt.Sprintf("all of %d events delivered; missing at uralsib %d, at proxima %d", len(want),
			len(c.missing(c.site.uralsib.Monitor, want)), len(c.missing(c.site.proxima.Monitor, want)))
	}
	eventually(c.t, 60*time.Second, missing, func() bool {
		return len(c.missing(c.site.uralsib.Monitor, want))+len(c.missing(c.site.proxima.Monitor, want)) == 0
	})
}

func (c *crash) missing(m *simulate.Monitor, want []truth) []truth {
	confirmed := map[string]bool{}
	for _, a := range m.Arrivals() {
		if a.Confirmed {
			confirmed[a.ID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(want), func(x truth) bool { return confirmed[x.id] })
}

// expected is what must leave, by SPEC 3 read once more: per terminal whole
// groups of five by the rule count, nothing by never, everything else.
func expected(list []truth) []truth {
	held := map[string][]truth{}
	leaves := map[string]bool{}
	for _, x := range list {
		switch x.kind {
		case "never":
		case "count":
			group := append(held[x.terminal], x)
			if len(group) == crashPeriods["count"].count {
				for _, y := range group {
					leaves[y.id] = true
				}
				group = nil
			}
			held[x.terminal] = group
		default:
			leaves[x.id] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(x truth) bool { return !leaves[x.id] })
}

func (c *crash) check() {
	_, js := c.site.connect()
	list, byID := truths(c.t, js)
	c.checkAnswered(list)
	if c.timed {
		c.checkRestarts(list)
	}
	for _, m := range []struct {
		sink    string
		monitor *simulate.Monitor
	}{{"uralsib", c.site.uralsib.Monitor}, {"proxima", c.site.proxima.Monitor}} {
		never := slices.DeleteFunc(slices.Clone(list), func(x truth) bool { return x.kind != "never" })
		c.checkNever(m.sink, ids(never), suppressed(c.t, js, m.sink))
		entries := c.queues.of(m.sink)
		c.checkQueue(m.sink, entries, list, byID)
		c.checkReleases(m.sink, entries, byID)
		c.checkArrivals(m.sink, m.monitor.Arrivals(), expected(list), byID)
	}
	c.t.Logf("%d kills, %d events answered 0, %d in EVENTS, repeats: uralsib %d, proxima %d", len(c.kills), len(c.answered), len(list),
		c.site.uralsib.Counts().Repeats, c.site.proxima.Counts().Repeats)
}

// checkAnswered: what was answered 0 is in EVENTS.
func (c *crash) checkAnswered(list []truth) {
	there := map[string]bool{}
	for _, x := range list {
		there[x.n] = true
	}
	for _, n := range slices.Sorted(maps.Keys(c.answered)) {
		if !there[n] {
			c.t.Errorf("event %s was answered 0 and is lost", n)
		}
	}
	if len(c.answered) < 100 {
		c.t.Errorf("only %d events answered 0: no load", len(c.answered))
	}
}

func ids(list []truth) []string {
	var all []string
	for _, x := range list {
		all = append(all, x.id)
	}
	return all
}

// checkNever: every suppressed event is on record once.
func (c *crash) checkNever(sink string, want, got []string) {
	if !slices.Equal(want, got) {
		c.t.Errorf("%s: %d events are on record as suppressed, want %d", sink, len(got), len(want))
	}
}

// checkQueue: each event that must leave is in the queue once, in the order of
// EVENTS per terminal and rule.
func (c *crash) checkQueue(sink string, entries []entry, list []truth, byID map[string]truth) {
	want, got := map[string][]string{}, map[string][]string{}
	for _, x := range expected(list) {
		want[x.terminal+" "+x.kind] = append(want[x.terminal+" "+x.kind], x.id)
	}
	seen := map[string]uint64{}
	for _, e := range entries {
		x, ok := byID[e.id]
		if !ok {
			c.t.Errorf("%s: the queue holds event %s, which EVENTS has not", sink, e.id)
		}
		if first, twice := seen[e.id]; twice {
			c.t.Errorf("%s: event %s (%s, %s) stands twice in the queue, in messages %d and %d", sink, e.id, x.n, x.kind, first, e.seq)
			continue
		}
		seen[e.id] = e.seq
		got[x.terminal+" "+x.kind] = append(got[x.terminal+" "+x.kind], e.id)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(want[key], got[key]) {
			c.t.Errorf("%s: queue of terminal and rule %s: %d events, want %d, or another order", sink, key, len(got[key]), len(want[key]))
		}
	}
}

// checkReleases: groups keep their counts and deadlines, and nothing of the
// same terminal and lane comes between their events.
func (c *crash) checkReleases(sink string, entries []entry, byID map[string]truth) {
	groups := map[string][]entry{}
	inside := map[string]string{} // the last release by terminal and kind, which has a lane of its own here but for normal
	for _, e := range entries {
		x := byID[e.id]
		if e.release == "" {
			if _, held := crashPeriods[x.kind]; held {
				c.t.Errorf("%s: event %s of rule %s was not held", sink, x.n, x.kind)
			}
		} else {
			groups[e.release] = append(groups[e.release], e)
		}
		lane := x.terminal + " " + laneOf(x.kind)
		if last := inside[lane]; e.release != "" && last != e.release && len(groups[e.release]) > 1 {
			c.t.Errorf("%s: something stands between the events of release %s", sink, e.release)
		}
		inside[lane] = e.release
	}
	for release, group := range groups {
		c.checkRelease(sink, release, group, byID)
	}
}

func laneOf(kind string) string {
	switch kind {
	case "high":
		return "high"
	case "both":
		return "low"
	}
	return "normal"
}

func (c *crash) checkRelease(sink, release string, group []entry, byID map[string]truth) {
	first := byID[group[0].id]
	p := crashPeriods[first.kind]
	waited := group[0].time.Sub(first.received)
	if len(group) == p.count {
		return
	}
	if p.timeout == 0 || p.count > 0 && len(group) > p.count {
		c.t.Errorf("%s: release %s of rule %s lets %d events go, want %d", sink, release, first.kind, len(group), p.count)
		return
	}
	if waited < p.timeout-time.Millisecond { // receipts have milliseconds
		c.t.Errorf("%s: release %s of rule %s after %s", sink, release, first.kind, waited)
	}
	if late := waited - p.timeout; late > time.Second && !c.downBetween(first.received.Add(p.timeout), group[0].time) {
		c.t.Errorf("%s: release %s of rule %s is %s late, and the router was not down", sink, release, first.kind, late)
	}
}

// downBetween tells whether edge or router were down at some time in the interval.
func (c *crash) downBetween(from, to time.Time) bool {
	return slices.ContainsFunc(c.kills, func(k kill) bool {
		return (k.program == "edge" || k.program == "router") && k.from.Before(to) && k.to.After(from)
	})
}

// What may be in flight at a kill: events delivered so shortly before that their
// outcome was not in DONE yet: so many at most, for four terminals that deliver one by
// one, however slow the disk is. A request on its way arrives a little after the kill.
const (
	inFlightMost = 40
	onItsWay     = 250 * time.Millisecond
)

// checkArrivals: first copies come in order per terminal and rule; further
// copies only of what was in flight at a kill of the sink or the broker.
func (c *crash) checkArrivals(sink string, list []simulate.Arrival, want []truth, byID map[string]truth) {
	order, got := map[string][]string{}, map[string][]string{}
	for _, x := range want {
		order[x.terminal+" "+x.kind] = append(order[x.terminal+" "+x.kind], x.id)
	}
	last := map[string]time.Time{}
	repeats := map[int]int{} // by the kill that explains them
	for _, a := range list {
		x := byID[a.ID]
		if a.Problem != "" {
			c.t.Errorf("%s got what departs from the specification: %s", sink, a.Problem)
		}
		if a.Copy == 1 {
			got[x.terminal+" "+x.kind] = append(got[x.terminal+" "+x.kind], a.ID)
		} else {
			repeats[c.explain(sink, a, last[a.ID], list)]++
		}
		last[a.ID] = a.Time
	}
	for _, key := range slices.Sorted(maps.Keys(order)) {
		if !slices.Equal(order[key], got[key]) {
			c.t.Errorf("%s: events of terminal and rule %s arrived in another order, or not all: %d, want %d", sink, key, len(got[key]), len(order[key]))
		}
	}
	for i, n := range repeats {
		if most := c.inFlightMost(); i >= 0 && n > most {
			c.t.Errorf("%s: %d events arrived twice by the kill of %s at %s, more than were in flight", sink, n, c.kills[i].program, c.kills[i].from.Format(time.StampMilli))
		}
	}
}

// killsBetween lists what was killed, and until when it was not at work.
func (c *crash) killsBetween(from, to time.Time) (list string) {
	for _, k := range c.kills {
		if k.from.After(from) && k.from.Before(to) {
			list += fmt.Sprintf(" %s at %s to %s", k.program, k.from.Format(time.StampMilli), k.to.Format(time.StampMilli))
		}
	}
	return list
}

// explain finds the kill, of the sink or the broker, that made an event arrive
// again.
func (c *crash) explain(sink string, a simulate.Arrival, before time.Time, list []simulate.Arrival) int {
	if len(c.records) > 0 {
		return c.explainByRecord(sink, a)
	}
	i := slices.IndexFunc(c.kills, func(k kill) bool {
		since := 0
		for _, b := range list {
			if b.Time.After(before) && b.Time.Before(k.from) {
				since++
			}
		}
		return (k.program == "edge" || k.program == "sink-"+sink) && k.from.Sub(before) > -onItsWay && since <= inFlightMost && k.from.Before(a.Time)
	})
	if i < 0 {
		c.t.Errorf("%s: event %s arrived at %s and again at %s: no kill explains it, of%s", sink, a.ID, before.Format(time.StampMilli), a.Time.Format(time.StampMilli), c.killsBetween(before.Add(-time.Second), a.Time))
	}
	return i
}
