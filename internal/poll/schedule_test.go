package poll

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/sink"
)

// The numbers of the polls' schedule.
func TestPace(t *testing.T) {
	t.Parallel()
	o := Options{}
	o.defaults()
	const ms, s = time.Millisecond, time.Second
	for _, c := range []struct {
		f          found
		idle       int
		took, want time.Duration
	}{
		{nothing, 0, 0, s}, {nothing, 0, 300 * ms, 700 * ms}, {nothing, 0, 55 * s, 0}, // 204 after the long poll: at once
		{something, 0, 0, 100 * ms}, {something, 0, s, 0},
		{onlyKnown, 1, 0, s}, {onlyKnown, 2, 0, 1600 * ms}, {onlyKnown, 3, s, 3200 * ms}, {onlyKnown, 6, 0, 24 * s}, {onlyKnown, 1000, 0, 24 * s},
	} {
		if got := o.Pace.next(c.f, c.idle, c.took, 0); got != c.want {
			t.Errorf("after %d, %d lists without news, %s: %s, want %s", c.f, c.idle, c.took, got, c.want)
		}
	}
	if got := o.Pace.next(onlyKnown, 1000, 0, 1); got != 30*s {
		t.Errorf("at most %s", got)
	}
}

// A day of a postbox as a timetable: which result is posted when, and what comes of it.
func TestPostbox(t *testing.T) {
	t.Parallel()
	down, busy := errors.New("HTTP 503"), sink.After(errors.New("HTTP 429"), 20*time.Second)
	refused := sink.Rejected(errors.New("HTTP 400"))
	type step struct {
		at   int // seconds
		add  string
		want string // the result that is posted, or "wait 5", or "none"
		err  error
	}
	for name, steps := range map[string][]step{
		"in order": {{0, "a b c", "a", nil}, {0, "", "b", nil}, {0, "", "c", nil}, {0, "", "none", nil}},
		"refused: the others go on, it comes again after 1, 2, 4 min": {{0, "a b", "a", refused}, {0, "", "b", nil}, {0, "", "wait 60", nil}, {60, "", "a", refused},
			{60, "", "wait 96", nil}, {156, "c", "a", refused}, {156, "", "c", nil}, {156, "", "wait 192", nil}},
		"out: one attempt at a time, later and later, in turn": {{0, "a b", "a", down}, {0, "", "wait 1", nil}, {1, "", "b", down}, {1, "", "wait 1.6", nil},
			{3, "", "a", down}, {6, "", "wait 0.2", nil}, {7, "", "b", down}, {7, "", "wait 6.4", nil}, {14, "", "a", nil}, {14, "", "b", nil}},
		"out: what is new is tried soon": {{0, "a", "a", down}, {1, "", "a", down}, {4, "", "a", down}, {8, "", "a", down}, {9, "b", "b", nil}, {9, "", "a", down}, {10, "c", "c", nil}},
		"Retry-After holds for all":      {{0, "a", "a", busy}, {5, "b", "wait 15", nil}, {20, "", "b", nil}, {20, "", "a", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := postbox{aside: sink.AsideSchedule}
			var list []*item
			for i, s := range steps {
				for _, id := range strings.Fields(s.add) {
					list = append(list, &item{key: id})
				}
				now := clock.Moment{Wall: time.Unix(int64(s.at), 0), Run: time.Duration(s.at) * time.Second}
				it, pause := p.pick(list, now.Run)
				got := "none"
				switch {
				case it != nil:
					got = it.key
				case pause >= 0:
					got = fmt.Sprintf("wait %v", pause.Seconds())
				}
				if got != s.want {
					t.Fatalf("step %d, second %d: %s, want %s", i, s.at, got, s.want)
				}
				if it == nil {
					continue
				}
				if p.done(&it.letter, s.err, now, 0); s.err == nil {
					for k, one := range list {
						if one == it {
							list = append(list[:k:k], list[k+1:]...)
							break
						}
					}
				}
			}
		})
	}
}

// One log line for each change, and the end of it.
func TestOutageTold(t *testing.T) {
	t.Parallel()
	var o outage
	a, b := errors.New("a"), errors.New("b")
	for i, c := range []struct {
		err  error
		want bool
	}{{a, true}, {a, false}, {b, true}, {b, false}, {a, true}} {
		if got := o.failed(c.err, clock.Moment{Run: time.Duration(i)}, 0); got != c.want {
			t.Errorf("failure %d is told: %v", i, got)
		}
	}
	if !o.over() || o.over() || o.failures != 0 {
		t.Errorf("%+v", o)
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"bank/commands":            "http://bank/commands?atm=00000040",
		"https://bank":             "https://bank?atm=00000040",
		"http://bank/c?key=a&":     "http://bank/c?key=a&atm=00000040",
		"http://bank/c?k=a b&я=\"": "http://bank/c?k=a%20b&%D1%8F=%22&atm=00000040",
		"http://bank/c?":           "http://bank/c?atm=00000040",
	} {
		c, err := newClient(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.target("00000040"); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// The journal is never so full that a result finds no room: no polls, and no commands to
// the edge, before it is.
func TestRoom(t *testing.T) {
	t.Parallel()
	l := newLine(&Poller{opts: Options{Now: clock.Now}}, "00000040")
	for _, c := range []struct {
		waiting, bytes int
		room, next     bool
	}{
		{1, 0, true, true}, {maxWaiting - 1, 0, true, true}, {maxWaiting, 0, false, true},
		{1, maxHandBytes, true, false}, {1, maxPollBytes - 1, true, false}, {1, maxPollBytes, false, false},
	} {
		b := newBook(l)
		b.queue, b.bytes = make([]*item, c.waiting), c.bytes
		b.queue[0] = &item{}
		if b.room() != c.room || (b.next() != nil) != c.next {
			t.Errorf("%d commands, %d bytes: room for a list %v, for a result %v", c.waiting, c.bytes, b.room(), b.next() != nil)
		}
	}
	b := newBook(l)
	b.entries["x"] = &item{entry: entry{State: posted}, size: maxPollBytes} // of no use any more
	b.bytes, b.opts.RepeatWindow = maxPollBytes, 0
	if !b.room() || b.bytes != 0 || len(b.handing) != 1 {
		t.Errorf("%d bytes are kept", b.bytes)
	}
}
