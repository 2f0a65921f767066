package timeline

import "time"

// tick is a place on the time axis.
type tick struct {
	at    time.Time
	label string
}

// labelCells is how long a label is at most.
const labelCells = 8

const day = 24 * time.Hour

// steps are the distances of ticks that people can count in; beyond them, the last
// doubled and doubled again.
var steps = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day}

// step is the smallest distance that gives at most n ticks, or one more.
func (s Span) step(n int) time.Duration {
	least := s.length() / time.Duration(max(n, 1))
	for _, d := range steps {
		if least <= d {
			return d
		}
	}
	d := steps[len(steps)-1]
	for d < least {
		d *= 2
	}
	return d
}

// ticks are about n, at round local times: times of day, dates at midnight.
func (s Span) ticks(n int, zone *time.Location) []tick {
	step := s.step(n)
	var list []tick
	for _, at := range s.rounds(step, zone) {
		local := at.In(zone)
		hour, minute, second := local.Clock()
		format := "15:04"
		switch {
		case step >= 28*day:
			format = "Jan 2006"
		case step >= day || hour == 0 && minute == 0 && second == 0:
			format = "02 Jan"
		case step < time.Minute:
			format = time.TimeOnly
		}
		list = append(list, tick{at, local.Format(format)})
	}
	return list
}

// rounds are the times in the window that are round on a local clock, a step apart. Steps
// of hours and days are counted on that clock: they stay round where it is put forward
// or back.
func (s Span) rounds(step time.Duration, zone *time.Location) []time.Time {
	from := s.From.In(zone)
	y, m, d := from.Date()
	next := func(i int) time.Time { return time.Date(y, m, d, i*int(step/time.Hour), 0, 0, 0, zone) }
	if step < time.Hour {
		begin := time.Date(y, m, d, from.Hour(), 0, 0, 0, zone)
		if begin.After(s.From) { // the hour that the clock runs through twice
			begin = begin.Add(-time.Hour)
		}
		next = func(i int) time.Time { return begin.Add(time.Duration(i) * step) }
	}
	var list []time.Time
	for i := 0; ; i++ {
		at := next(i)
		if !at.Before(s.To) {
			return list
		}
		if s.has(at) && (len(list) == 0 || at.After(list[len(list)-1])) {
			list = append(list, at)
		}
	}
}
