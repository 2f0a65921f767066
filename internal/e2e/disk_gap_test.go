package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/e2e/faultfs"
)

// A failed fsync leaves a gap: what was written before it is in memory, counts as
// clean, and the next fsync says yes without it. A power cut later must not take
// what was answered 0 behind the gap: a block is read up to its first damage.
func TestDiskUnsyncedGap(t *testing.T) {
	for _, c := range []struct {
		name  string
		after func(f *failingDisk) // what happens between the failed fsync and the next event
	}{
		{"opened again in the process", func(*failingDisk) {}},
		{"killed", func(f *failingDisk) {
			f.site.processes["edge"].kill()
			f.site.start("edge")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seed := number(t, "VESTNIK_SEED", int(rand.Uint32()))
			t.Logf("VESTNIK_SEED=%d", seed)
			f := newFailing(t, "router, uralsib, proxima", uint64(seed))
			f.site.start("edge")
			f.accepted("before", 10)
			eventsUnsync.begin(f.disk)
			if got := f.site.send("URAL", event12("lost")).Code; got != code.NotStored {
				t.Errorf("the event whose fsync failed is answered with code %d", got)
			}
			c.after(f)
			f.accepted("behind", 10)
			f.site.processes["edge"].kill()
			t.Logf("the cut took %+v", f.disk.Cut(faultfs.All))
			f.site.start("edge")
			f.settle()
			f.checkIDs()
		})
	}
}

// ROUTE acknowledges before it writes. An event whose place in a sink's queue the
// disk then refuses is delivered all the same, also if no further event comes that
// would meet the frozen stream, and the sink was off.
func TestDiskLastOfRoute(t *testing.T) {
	t.Parallel()
	f := newFailing(t, "", 1)
	f.site.start("edge", "router")
	routeFails.begin(f.disk)
	f.accepted("last", 1)
	f.site.processes["edge"].logged(t, "store frozen")
	f.disk.Heal()
	healed := time.Now()
	f.site.start("sink-uralsib")
	f.settle()
	if took := time.Since(healed); took > 30*time.Second {
		t.Errorf("delivered %s after the disk was healed", took)
	}
	f.checkIDs()
}

// A disk that fails before the router has made its streams costs time, no process.
func TestDiskFailsAtStart(t *testing.T) {
	t.Parallel()
	f := newFailing(t, "", 1)
	f.site.start("edge")
	allFails.begin(f.disk)
	f.site.launch("router").logged(t, "the streams cannot be made yet")
	f.site.start("sink-uralsib")
	f.disk.Heal()
	f.accepted("after", 1)
	f.settle()
	f.samePrograms()
}

// While the store is frozen status says so, and a process that is told to stop does.
func TestDiskFrozenStatus(t *testing.T) {
	t.Parallel()
	f := newFailing(t, "router, uralsib, proxima", 1)
	f.site.start("edge")
	f.accepted("before", 3)
	f.settle()
	allFails.begin(f.disk)
	if got := f.site.send("URAL", event12("refused")).Code; got != code.NotStored {
		t.Errorf("an event that cannot be written is answered with code %d", got)
	}
	f.site.processes["edge"].logged(t, "store frozen")
	out, errs, exit := run(t, nil, program("vestnik"), "status", "-c", f.site.path("vestnik.conf"))
	if exit != 0 || !strings.Contains(out, "the store has taken no writes since") || !strings.Contains(out, "input/output error") {
		t.Errorf("status, exit code %d:\n%s\n%s", exit, out, errs)
	}
	f.site.processes["edge"].stop(t)
}

func event12(n string) string { return `<event severity='normal' device='12' n='` + n + `'/>` }

// accepted sends events one after the other, each until it is answered 0.
func (f *failingDisk) accepted(name string, count int) {
	f.t.Helper()
	for i := range count {
		n := fmt.Sprintf("%s-%02d", name, i)
		eventually(f.t, 30*time.Second, say("event %s answered 0", n), func() bool { return f.site.send("URAL", event12(n)).Code == code.OK })
		f.answered[n] = true
	}
}
