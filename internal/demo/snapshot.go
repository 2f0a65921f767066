package demo

import (
	"time"

	"vestnik/internal/sink"
	"vestnik/streams"
)

// snapshot is what a view shows at one moment.
type snapshot struct {
	elapsed, duration time.Duration
	phase             string
	last              bool // nothing comes after it
	terminals         int
	answered, refused int
	sendRate          float64
	stored, packs     int
	held, suppressed  int // events for a sink each
	released          int
	sinks             []sinkShot
	stories           []storyShot // latest first
	commands          []commandShot
	said              []said
}

// sinkShot is a sink at one moment.
type sinkShot struct {
	name      string
	delivered int
	rate      float64
	waiting   int
	lanes     map[string]int // waiting, by lane
	aside     int
	expired   int
	arrived   int // different events that the monitoring system has confirmed
	outage    *sink.Outage
}

// storyShot is an event and what became of it so far.
type storyShot struct {
	story
	fate string
}

// snapshot is called with mu held.
func (s *show) snapshot() snapshot {
	now := time.Now()
	shot := snapshot{elapsed: now.Sub(s.began), duration: s.o.Duration, phase: s.now, terminals: s.o.Terminals, said: s.said, last: s.over}
	shot.answered, shot.refused = s.from.now()
	shot.sendRate = s.rates.of("sent", shot.answered, now)
	t := s.w.tally
	shot.commands = shots(s.w.operator.all(), t.recorded())
	t.mu.Lock()
	defer t.mu.Unlock()
	shot.stored, shot.packs = t.stored, t.packs
	for _, name := range s.w.cfg.SinkNames() {
		b := t.sinks[name]
		shot.held += b.counts[streams.StateHeld]
		shot.suppressed += b.counts[streams.StateSuppressed]
		shot.released += b.released
		k := sinkShot{name: name, delivered: b.counts[streams.StateDelivered], aside: b.counts[streams.StateAside],
			expired: b.counts[streams.StateExpired], waiting: b.counts[streams.StatePending] + b.counts[streams.StateFailed],
			arrived: s.w.monitors[name].Counts().Confirmed, outage: s.outages[name], lanes: map[string]int{}}
		for _, lane := range streams.Lanes {
			k.lanes[lane] = b.waiting[lane]
		}
		k.rate = s.rates.of(name, k.delivered, now)
		shot.sinks = append(shot.sinks, k)
	}
	for i := len(t.stories.list) - 1; i >= 0; i-- {
		shot.stories = append(shot.stories, storyShot{t.stories.list[i], t.fate(t.stories.list[i])})
	}
	return shot
}

// rates keeps counts of the last moments.
type rates struct{ byName map[string][]sample }

type sample struct {
	at time.Time
	n  int
}

// rateWindow is the time that a rate is an average of.
const rateWindow = 2 * time.Second

// of notes a count and gives its growth per second.
func (r *rates) of(name string, n int, now time.Time) float64 {
	if r.byName == nil {
		r.byName = map[string][]sample{}
	}
	list := append(r.byName[name], sample{now, n})
	for len(list) > 1 && now.Sub(list[0].at) > rateWindow {
		list = list[1:]
	}
	r.byName[name] = list
	first := list[0]
	if seconds := now.Sub(first.at).Seconds(); seconds > 0 {
		return float64(n-first.n) / seconds
	}
	return 0
}
