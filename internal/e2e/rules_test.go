package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// manualRules are the manual's three rules; the third with another period.
func manualRules(period string) string {
	return `<rule name='rule1'><event_attrs a1='v1' a2='v1' a4='v4'/><event_params delivery='never' period='never'/></rule>
<rule name='rule2'><event_attrs a1='v1' a2='v2'/><event_params delivery='guaranteed' period='immediately'/></rule>
<rule name='rule3'><event_attrs a1='v1' a2='v2' a3='_EXIST'/><event_params period='` + period + `'/></rule>`
}

// manualEvent is the event that the manual goes through them with, numbered.
func manualEvent(n int) string {
	return fmt.Sprintf(`<event severity='normal' device='12' a1='v1' a2='v2' a3='v3' n='%d'/>`, n)
}

// markerEvent matches none of the manual's rules: it is delivered at once, and
// the router comes to it after all that was sent before.
const markerEvent = `<event severity='normal' device='12' n='marker'/>`

func numbers(list []simulate.Arrival) []string {
	var all []string
	for _, a := range list {
		all = append(all, a.Attr("n"))
	}
	return all
}

func wantNumbers(t *testing.T, list []simulate.Arrival, want ...string) {
	t.Helper()
	if got := numbers(list); !slices.Equal(got, want) {
		t.Errorf("arrived %q, want %q", got, want)
	}
}

// The manual: the event waits until there are five of them.
func TestManualsRulesCount(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: manualRules("count_5,timeout_60")})
	for n := range 4 {
		s.accept("URAL", manualEvent(n))
	}
	s.accept("URAL", markerEvent)
	wantNumbers(t, await(t, s.uralsib.Monitor, 1), "marker")
	s.accept("URAL", manualEvent(4))
	wantNumbers(t, await(t, s.uralsib.Monitor, 6), "marker", "0", "1", "2", "3", "4")
}

// The manual: or until a minute has passed; here a second. SPEC 3: not before
// S seconds after receipt of the oldest held event and within 1 s after that.
func TestManualsRulesTimeout(t *testing.T) {
	t.Parallel()
	for _, period := range []string{"timeout_1", "count_5,timeout_1"} {
		t.Run(period, func(t *testing.T) {
			t.Parallel()
			s := runSite(t, settings{Rules: manualRules(period)})
			before := time.Now()
			s.accept("URAL", manualEvent(0))
			after := time.Now()
			s.accept("URAL", manualEvent(1))
			list := await(t, s.uralsib.Monitor, 2)
			wantNumbers(t, list, "0", "1")
			for _, a := range list {
				if early := a.Time.Sub(before); early < time.Second-time.Millisecond { // receipts have milliseconds
					t.Errorf("arrived %s after it was sent", early)
				}
				if late := a.Time.Sub(after); late > 2*time.Second+500*time.Millisecond {
					t.Errorf("arrived %s after it was received", late)
				}
			}
		})
	}
}

// With both, whichever comes first lets the group go, and the next group begins anew.
func TestManualsRulesBoth(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: manualRules("count_5,timeout_2")})
	for n := range 6 {
		s.accept("URAL", manualEvent(n))
	}
	sent := time.Now()
	first := await(t, s.uralsib.Monitor, 5)
	wantNumbers(t, first, "0", "1", "2", "3", "4")
	if d := first[4].Time.Sub(sent); d > 1500*time.Millisecond {
		t.Errorf("five events arrive %s after the fifth: they waited for the timeout", d)
	}
	all := await(t, s.uralsib.Monitor, 6)
	wantNumbers(t, all, "0", "1", "2", "3", "4", "5")
	if d := all[5].Time.Sub(sent); d < 2*time.Second-200*time.Millisecond {
		t.Errorf("the sixth arrives after %s, not 2 s", d)
	}
}

// A group is one terminal's (SPEC 3): others' events do not fill it.
func TestHeldPerTerminal(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: manualRules("count_2")})
	for _, atm := range []string{"41", "42", "43"} {
		s.accept("URAL", `<event severity='normal' device='12' a1='v1' a2='v2' a3='v3' atm='`+atm+`' n='`+atm+`'/>`)
	}
	s.accept("URAL", markerEvent)
	wantNumbers(t, await(t, s.uralsib.Monitor, 1), "marker")
	s.accept("URAL", `<event severity='normal' device='12' a1='v1' a2='v2' a3='v3' atm='0042' n='42b'/>`)
	wantNumbers(t, await(t, s.uralsib.Monitor, 3), "marker", "42", "42b")
}

// Never is suppressed, on record, with the rule's name; nothing arrives.
func TestNever(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: manualRules("count_5"), URAL: "uralsib, proxima"})
	s.accept("URAL", `<event severity='normal' device='12' a1='v1' a2='v1' a4='v4'/>`)
	s.accept("URAL", markerEvent)
	wantNumbers(t, await(t, s.uralsib.Monitor, 1), "marker")
	wantNumbers(t, await(t, s.proxima.Monitor, 1), "marker")
	_, js := s.connect()
	id := stored(t, js)[0].ID
	for _, sink := range []string{"uralsib", "proxima"} {
		if got := suppressed(t, js, sink); !slices.Equal(got, []string{id}) {
			t.Errorf("suppressed for %s: %q, want %q", sink, got, id)
		}
		queue, stderr, code := run(t, nil, program("vestnik"), "queue", "-c", s.path("vestnik.conf"), "--sink", sink, "--state", "suppressed", "--json")
		if code != 0 || strings.Count(queue, "\n") != 1 || !strings.Contains(queue, `"id":"`+id+`"`) || !strings.Contains(queue, `"rule":"rule1"`) {
			t.Errorf("vestnik queue: exit %d, %q, %q", code, queue, stderr)
		}
	}
}

// A higher lane overtakes what waits in a lower one; inside a lane order is kept.
func TestPriorityOvertakes(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Sink: "max_in_flight: 1",
		Rules: `<rule name='urgent'><event_attrs severity='critical'/><event_params priority='high'/></rule>`})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Delay = 100 * time.Millisecond })
	for n := range 10 {
		s.accept("URAL", fmt.Sprintf(`<event severity='normal' device='12' n='%d'/>`, n))
	}
	s.accept("URAL", `<event severity='critical' device='5' n='urgent'/>`)
	begun := s.uralsib.Counts().Events // of them one at most is in flight
	got := numbers(await(t, s.uralsib.Monitor, 11))
	if at := slices.Index(got, "urgent"); at > begun+2 {
		t.Errorf("%d had begun when the urgent event was sent, but it arrived after %d: %q", begun, at, got)
	}
	got = slices.DeleteFunc(got, func(n string) bool { return n == "urgent" })
	if !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
		t.Errorf("lane normal arrived as %q", got)
	}
}

// sinks= is where the event goes, instead of its signature's sinks.
func TestSinksRedirect(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Rules: `<rule name='there'><event_attrs to='proxima'/><event_params sinks='proxima'/></rule>
<rule name='both'><event_attrs to='both'/><event_params sinks='uralsib,proxima'/></rule>`})
	s.accept("URAL", `<event severity='normal' device='12' to='proxima' n='1'/>`)
	s.accept("JSON", `<event severity='normal' device='12' to='both' n='2'/>`)
	s.accept("URAL", `<event severity='normal' device='12' n='3'/>`)
	wantNumbers(t, await(t, s.uralsib.Monitor, 2), "2", "3")
	list := await(t, s.proxima.Monitor, 2)
	wantNumbers(t, list, "1", "2")
	if list[0].Rule != "there" || list[0].Signature != "URAL" || list[1].Rule != "both" {
		t.Errorf("arrived as %+v", list)
	}
}

// ttl: an event that could not be delivered in time is expired, on record, and
// the next ones go on.
func TestTTLExpires(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Sink: `retry_min: "100ms", retry_max: "300ms"`,
		Rules: `<rule name='brief'><event_attrs brief='_EXIST'/><event_params ttl='1'/></rule>`})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	s.accept("URAL", `<event severity='normal' device='12' brief='' n='brief'/>`)
	s.accept("URAL", `<event severity='normal' device='12' n='lasting'/>`)
	_, js := s.connect()
	id := stored(t, js)[0].ID
	state := func() string { return outcomes(t, js, "uralsib")[id].State }
	eventually(t, 10*time.Second, func() string { return "expired, is " + state() }, func() bool { return state() == streams.StateExpired })
	if o := outcomes(t, js, "uralsib")[id]; o.Time.Sub(stored(t, js)[0].Received()) < time.Second || o.Rule != "brief" {
		t.Errorf("expired as %+v", o)
	}
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	eventually(t, 10*time.Second, say("the lasting event is delivered"), func() bool { return s.uralsib.Counts().Confirmed == 1 })
	for _, a := range s.uralsib.Arrivals() {
		if a.Confirmed && a.Attr("n") != "lasting" {
			t.Errorf("delivered %q", a.Attr("n"))
		}
	}
}
