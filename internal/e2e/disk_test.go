package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/e2e/faultfs"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
)

// A diskFault is one way in which a disk fails.
type diskFault struct {
	name  string
	begin func(d *faultfs.Disk)
	hold  time.Duration // until it is healed
	once  bool          // the disk is well again before that
}

// unsynced fails one fsync of a file or folder whose path contains a text, "" = of any.
func unsynced(name, only string, hold time.Duration) diskFault {
	return diskFault{name: name, begin: func(d *faultfs.Disk) { d.Only(only); d.FailFsync(1) }, hold: hold, once: true}
}

// lasting is a fault that lasts so long.
func lasting(f diskFault, name string, hold time.Duration) diskFault {
	f.name, f.hold = name, hold
	return f
}

// failing refuses writes to files whose path contains a text, "" = all.
func failing(name string, err syscall.Errno, only string) diskFault {
	return diskFault{name: name, begin: func(d *faultfs.Disk) { d.Only(only); d.FailWrites(err, 0) }, hold: time.Second}
}

var (
	diskFull     = diskFault{name: "no space left", begin: func(d *faultfs.Disk) { d.Capacity(d.Used() + 64<<10) }, hold: 1500 * time.Millisecond}
	eventsUnsync = unsynced("one fsync of EVENTS fails", "EVENTS/msgs/", time.Second)
	allFails     = failing("EIO", syscall.EIO, "")
	routeFails   = failing("EIO in ROUTE", syscall.EIO, "ROUTE/msgs/")
	doneFails    = failing("EIO in DONE", syscall.EIO, "DONE/msgs/")
)

var diskFaults = []diskFault{diskFull, eventsUnsync, allFails, routeFails, doneFails,
	failing("EIO in EVENTS", syscall.EIO, "EVENTS/msgs/"),
	failing("read-only", syscall.EROFS, ""),
	failing("not permitted", syscall.EACCES, ""),
	unsynced("one fsync fails", "", time.Second),
	unsynced("one fsync of ROUTE fails", "ROUTE/msgs/", 3*time.Second),
	unsynced("one fsync of DONE fails", "DONE/msgs/", time.Second),
	lasting(diskFull, "full for long", 12*time.Second),
	lasting(allFails, "EIO for long", 8*time.Second),
}

// SPEC 1 and 4 on a disk that fails: every frame is answered within 5 s, code 0
// never lies, all that was answered 0 is delivered, and when the disk is well again
// intake and delivery work within 30 s, with no person and in the same processes.
func TestDisk(t *testing.T) {
	failDisk(t, "", programs, doneFails, diskFull)
}

// The same with everything in one process.
func TestDiskHosted(t *testing.T) {
	failDisk(t, "router, uralsib, proxima", programs[:1], eventsUnsync, routeFails)
}

// failDisk makes the disk fail under load: in the short form by these faults, in
// the long form by all, in random order.
func failDisk(t *testing.T, hosted string, programs []string, faults ...diskFault) {
	t.Parallel()
	seed, rounds := number(t, "VESTNIK_SEED", int(rand.Uint32())), len(faults)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	if os.Getenv("VESTNIK_LONG") != "" {
		faults, rounds = diskFaults, number(t, "VESTNIK_ROUNDS", 2*len(diskFaults))
	}
	t.Logf("VESTNIK_LONG=%s VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -count=1 -v -run '^%s$' ./internal/e2e", os.Getenv("VESTNIK_LONG"), seed, rounds, t.Name())
	f := newFailing(t, hosted, uint64(seed))
	f.site.start(programs...)
	f.accepted("first", 1)
	f.settle() // every part is at work
	stop := f.load(uint64(seed))
	for i, order := 0, []int(nil); i < rounds; i++ {
		if i%len(faults) == 0 {
			order = rng.Perm(len(faults))
		}
		f.round(faults[order[i%len(faults)]])
	}
	stop()
	f.settle()
	f.check()
}

// failingDisk is a site whose store lies on a disk that fails.
type failingDisk struct {
	t    *testing.T
	site *site
	disk *faultfs.Disk

	mu       sync.Mutex
	answered map[string]bool // attribute n of the events answered with code 0
}

func newFailing(t *testing.T, hosted string, seed uint64) *failingDisk {
	f := &failingDisk{t: t, disk: faultfs.Mount(t, faultfs.Options{Seed: seed}), answered: map[string]bool{}}
	f.site = newSite(t, settings{Run: hosted, Sink: `retry_min: "50ms", retry_max: "500ms"`, More: "store { events_bytes: 64MB }"})
	f.site.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n", f.site.nats, f.disk.Path))
	return f
}

// load sends events of four terminals until it is stopped, each again until it is
// answered with code 0; every sending must be answered within 5 s.
func (f *failingDisk) load(seed uint64) (stop func()) {
	terminal := simulate.Terminal{Options: simulate.Options{Addr: f.site.terminal, ATM: []string{"41", "42", "43", "44"}, Rate: 200,
		Tag: "n", Seed: seed, RetryPause: 50 * time.Millisecond, AnswerTimeout: 20 * time.Second,
		Templates: []simulate.Template{{Name: "now", Weight: 1, Fields: []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"},
			{Name: "message", Value: strings.Repeat("Событие ", 20)}, {Name: "atm", Value: "#TERMINAL_ID#"}}}},
		OnAnswer: func(sent simulate.Sent, r simulate.Result, err error) {
			if err == nil && r.Code == code.OK {
				f.mu.Lock()
				f.answered[lookup(sent.Attrs, "n")] = true
				f.mu.Unlock()
			}
		}}}
	halt, done := make(chan struct{}), make(chan struct{})
	terminal.Options.Stop = halt
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		report, err := terminal.Run(ctx)
		if err != nil {
			f.t.Error(err)
		}
		if report.Errors > 0 || report.Longest > 5*time.Second {
			f.t.Errorf("%d sendings without an answer, the longest wait for an answer %s, want 5 s at most", report.Errors, report.Longest)
		}
		f.t.Logf("sent %d events, confirmed %d, codes %v, longest wait for an answer %s", report.Events, report.Confirmed, report.Codes, report.Longest)
	}()
	f.t.Cleanup(func() { cancel(); <-done })
	return func() { close(halt); <-done }
}

// round lets the disk fail, heals it, and measures how long it takes until an
// event is answered 0 and delivered.
func (f *failingDisk) round(fault diskFault) {
	f.t.Helper()
	time.Sleep(300 * time.Millisecond) // the load goes on
	before, opened := f.disk.Counts(), f.opened()
	fault.begin(f.disk)
	time.Sleep(fault.hold) // the time that the fault lasts
	if f.opened() > opened && !fault.once {
		f.t.Errorf("%s: the store was opened again before the disk was well", fault.name)
	}
	f.disk.Heal()
	healed := time.Now()
	if now := f.disk.Counts(); now.Failed+now.Full == before.Failed+before.Full {
		f.t.Errorf("%s: the disk has refused nothing", fault.name)
	}
	n := fmt.Sprintf("probe-%d", healed.UnixNano())
	last := code.Code(-1)
	eventually(f.t, 30*time.Second, func() string {
		return fmt.Sprintf("%s: an event answered 0 after the disk was healed, last code %d", fault.name, last)
	},
		func() bool {
			last = f.site.send("URAL", event12(n)).Code
			return last == code.OK
		})
	intake := time.Since(healed)
	f.mu.Lock()
	f.answered[n] = true
	f.mu.Unlock()
	eventually(f.t, 30*time.Second-intake, say("%s: the event delivered after the disk was healed", fault.name), func() bool { return f.arrived()[n] })
	f.t.Logf("%s: intake after %s, delivery after %s", fault.name, intake.Round(time.Millisecond), time.Since(healed).Round(time.Millisecond))
}

// opened is how often the edge has said that the store works again.
func (f *failingDisk) opened() int {
	return strings.Count(f.site.processes["edge"].log.tail(1<<30), "the store takes events again")
}

// arrived are the events, by attribute n, that uralsib has confirmed.
func (f *failingDisk) arrived() map[string]bool {
	all := map[string]bool{}
	for _, a := range f.site.uralsib.Arrivals() {
		if a.Confirmed {
			all[a.Attr("n")] = true
		}
	}
	return all
}

// settle waits until everything that was answered 0 has been delivered.
func (f *failingDisk) settle() {
	f.t.Helper()
	missing := func() (list []string) {
		arrived := f.arrived()
		for n := range f.answered {
			if !arrived[n] {
				list = append(list, n)
			}
		}
		return list
	}
	eventually(f.t, 30*time.Second, func() string {
		return fmt.Sprintf("all of %d events delivered, missing %.500v", len(f.answered), missing())
	},
		func() bool { return len(missing()) == 0 })
}

// check: all that checkIDs asks for; the processes are those that were started; the
// edge has told of what it refused.
func (f *failingDisk) check() {
	f.t.Helper()
	if f.checkIDs() == 0 && f.opened() > 0 {
		f.t.Error("no critical event of the edge's own tells of the frozen store")
	}
	f.samePrograms()
	if _, errs, code := f.site.vestnik("status"); code != 0 {
		f.t.Errorf("status: %s", errs)
	}
	if damaged, _ := f.site.processes["edge"].log.contains("the store is damaged"); damaged {
		f.t.Error("a disk that failed is taken for a damaged one")
	}
}

// checkIDs: what was answered 0 stands in EVENTS and was delivered with that id. It
// returns how many events the edge has told itself.
func (f *failingDisk) checkIDs() (told int) {
	f.t.Helper()
	_, js := f.site.connect()
	ids := map[string]string{} // n by id
	for _, e := range stored(f.t, js) {
		attrs, err := proatm.Attributes(e.Raw)
		if err != nil {
			f.t.Fatal(err)
		}
		if n := lookup(attrs, "n"); n != "" {
			ids[e.ID] = n
		} else if e.Severity == "critical" && e.Device == "13" {
			told++
		}
	}
	delivered := map[string]bool{}
	for _, a := range f.site.uralsib.Arrivals() {
		if n := ids[a.ID]; n != "" {
			delivered[n] = true
		}
	}
	for n := range f.answered {
		if !delivered[n] {
			f.t.Errorf("event %s was answered 0 and not delivered with an id that EVENTS has", n)
		}
	}
	f.t.Logf("%d events answered 0, %d in EVENTS, %d of the edge's own, repeats %d", len(f.answered), len(ids), told, f.site.uralsib.Counts().Repeats)
	return told
}

func (f *failingDisk) samePrograms() {
	f.t.Helper()
	for name, p := range f.site.processes {
		select {
		case <-p.ended:
			f.t.Errorf("%s has ended: %v", name, p.err)
		default:
		}
	}
}
