package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
)

// application runs a terminal application beside the site; its address goes into the
// settings.
func application(t *testing.T, o simulate.ApplicationOptions) (a *simulate.Application, setting string) {
	t.Helper()
	ln := listenFree(t)
	a = simulate.NewApplication(o)
	serveOn(t, ln, a.Serve)
	return a, fmt.Sprintf("application: %q", ln.Addr())
}

func order(t *testing.T, s *site, id any, name string, params ...string) {
	t.Helper()
	o := simulate.Order{ID: id, Name: name}
	for _, p := range params {
		o.Params = append(o.Params, command.Param{Value: p})
	}
	if _, err := s.proxima.Order("40", o); err != nil {
		t.Fatal(err)
	}
}

// polledResults are the results that ПроКСИМА has confirmed, by the id as JSON.
func polledResults(t *testing.T, s *site) map[string]command.Answer {
	t.Helper()
	got := map[string]command.Answer{}
	for _, r := range s.proxima.Results() {
		if r.Problem != "" {
			t.Errorf("result %s: %s", r.Body, r.Problem)
		}
		if r.Confirmed {
			got[string(r.ID)] = r.Answer
		}
	}
	return got
}

// SPEC 6: all commands by proxima's polling, through processes, and where the edge
// hosts the sink.
func TestPolledCommands(t *testing.T) {
	t.Parallel()
	for name, hosted := range map[string]string{"processes": "", "hosted": "router, uralsib, proxima"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, setting := application(t, simulate.ApplicationOptions{RebootTime: 300 * time.Millisecond})
			s := newSite(t, settings{Limits: setting, Commands: true, Run: hosted})
			order(t, s, "1", command.GetStatus, "CIM", "ProATM")
			order(t, s, 2, command.GetCashUnitInfo, "CDM")
			order(t, s, "три", command.GetCIMNoteTypes, "CIM")
			order(t, s, 4.5, command.GetDeviceInfo)
			order(t, s, "5", command.Reset, "CIM")
			order(t, s, "6", command.GoOutOfService)
			order(t, s, "7", command.GoInService)
			order(t, s, "8", command.Reboot)
			order(t, s, "9", command.GetStatus)
			if hosted == "" {
				s.start(programs...)
			} else {
				s.start("edge")
			}
			eventually(t, 30*time.Second, say("nine results"), func() bool { return len(polledResults(t, s)) == 9 })
			got := polledResults(t, s)
			if r := got[`"1"`].Results; len(r) != 2 || r[0].Data == nil || *r[0].Param != "CIM" || *r[1].Param != "ProATM" {
				t.Errorf("GET_STATUS: %+v", got[`"1"`])
			}
			for id, a := range got {
				if want := id != `"9"`; a.OK() != want {
					t.Errorf("command %s: %+v", id, a)
				}
			}
			if r := got[`"9"`].Results; len(r) != 1 || r[0].Code != code.MissingParameter {
				t.Errorf("%+v", got[`"9"`])
			}
			var names []string
			for _, e := range app.Executed() {
				names = append(names, e.Name)
			}
			if want := []string{command.GetStatus, command.GetCashUnitInfo, command.GetCIMNoteTypes, command.GetDeviceInfo, command.Reset,
				command.GoOutOfService, command.GoInService, command.Reboot}; !slices.Equal(names, want) {
				t.Errorf("executed %s", names)
			}
			if c := s.proxima.Counts().Commands; c.Twins != 0 || c.Changed != 0 || c.Repeats != 0 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// kill -9 of sink-proxima and of the edge while commands run: never lost, what acts never
// executed twice, every result posted, 109 at worst.
func TestPolledCommandsSurviveKills(t *testing.T) {
	t.Parallel()
	app, setting := application(t, simulate.ApplicationOptions{Step: time.Millisecond})
	app.Change(func(b *simulate.ApplicationBehaviour) { b.Delay = 20 * time.Millisecond })
	s := runSite(t, settings{Limits: setting, Commands: true, Sink: `retry_min: "50ms", retry_max: "200ms"`})
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 7))
	names := []string{command.Reset, command.GetStatus, command.GoOutOfService, command.GetCashUnitInfo, command.GoInService}
	const rounds, each = 10, 8
	for round := range rounds {
		for i := range each {
			id := round*each + i
			order(t, s, id, names[id%len(names)], "CIM")
		}
		at := len(app.Executed()) + rng.IntN(each/2)
		eventually(t, 30*time.Second, say("%d executed, seed %d", at, seed), func() bool { return len(app.Executed()) > at })
		dead := [][]string{{"sink-proxima"}, {"edge"}, {"edge", "sink-proxima"}}[round%3]
		for _, name := range dead {
			s.processes[name].kill()
		}
		s.start(dead...)
	}
	eventually(t, 60*time.Second, say("%d results, seed %d", rounds*each, seed), func() bool { return len(polledResults(t, s)) == rounds*each })
	times, unknown := map[string]int{}, 0
	for _, e := range app.Executed() {
		times[e.ID]++
	}
	for id, a := range polledResults(t, s) {
		name := a.Results[0].Name
		lost := a.Results[0].Code == code.OutcomeUnknown
		if lost {
			unknown++
		}
		acts := command.Acts(name)
		if acts && times[id] > 1 || times[id] < 1 && !lost || lost && !acts {
			t.Errorf("command %s %s was executed %d times: %+v (seed %d)", id, name, times[id], a, seed)
		}
	}
	t.Logf("%d of %d outcomes unknown", unknown, rounds*each)
	if c := s.proxima.Counts().Commands; c.Changed != 0 || c.Twins > rounds {
		t.Errorf("%+v (seed %d)", c, seed)
	}
}

// SPEC 4: vestnik pause stops commands; status tells of them.
func TestPolledCommandsPause(t *testing.T) {
	t.Parallel()
	app, setting := application(t, simulate.ApplicationOptions{})
	s := runSite(t, settings{Limits: setting, Commands: true})
	order(t, s, 1, command.GetDeviceInfo)
	eventually(t, 20*time.Second, say("a result"), func() bool { return len(polledResults(t, s)) == 1 })
	vestnik := func(args ...string) string {
		out, errs, exit := run(t, nil, program("vestnik"), append(args, "-c", s.path("vestnik.conf"))...)
		if exit != 0 {
			t.Fatalf("vestnik %s: %s", strings.Join(args, " "), errs)
		}
		return out
	}
	vestnik("pause")
	eventually(t, 10*time.Second, say("a pause"), func() bool { return strings.Contains(vestnik("status", "--json"), `"commands":{"paused":true,`) })
	polls := s.proxima.Counts().Polls
	order(t, s, 2, command.GetDeviceInfo)
	var st struct {
		Programs []struct {
			Program string
			Status  struct {
				Commands struct{ Received, Posted int }
			}
		}
	}
	if err := json.Unmarshal([]byte(vestnik("status", "--json")), &st); err != nil {
		t.Fatal(err)
	}
	for _, p := range st.Programs {
		if c := p.Status.Commands; p.Program == "sink-proxima" && (c.Received != 1 || c.Posted != 1) {
			t.Errorf("%+v", c)
		}
	}
	if n := s.proxima.Counts().Polls; n != polls || len(app.Executed()) != 1 {
		t.Errorf("%d polls while paused, %d executed", n-polls, len(app.Executed()))
	}
	vestnik("resume")
	eventually(t, 20*time.Second, say("the result after the pause"), func() bool { return len(polledResults(t, s)) == 2 })
}

// With the shipped rights: sink-proxima has no JetStream of its own, and polls, journals,
// commands and posts all the same; a result outlives its kill.
func TestPolledCommandsWithRights(t *testing.T) {
	t.Parallel()
	s := newSecured(t, settings{})
	proxima := s.proxima
	proxima.ChangePosts(func(b *simulate.Behaviour) { b.Outage = true })
	order(t, s.site, 1, command.Reset, "CIM")
	order(t, s.site, 2, command.GetStatus, "CIM")
	s.start(programs...)
	eventually(t, 30*time.Second, say("a post that fails"), func() bool { return len(proxima.Results()) >= 2 })
	p := s.processes["sink-proxima"]
	p.kill()
	proxima.ChangePosts(func(b *simulate.Behaviour) { b.Outage = false })
	s.start("sink-proxima")
	eventually(t, 30*time.Second, say("both results"), func() bool { return len(polledResults(t, s.site)) == 2 })
	for id, a := range polledResults(t, s.site) {
		if !a.OK() {
			t.Errorf("command %s: %+v", id, a)
		}
	}
	for _, one := range []*process{p, s.processes["sink-proxima"], s.processes["edge"]} {
		for _, text := range []string{"NATS reports an error", "interrupted", "refused"} {
			if has, _ := one.log.contains(text); has {
				t.Errorf("%s logs %q", one.name, text)
			}
		}
	}
	if c := proxima.Counts().Commands; c.Changed != 0 {
		t.Errorf("%+v", c)
	}
}

// SPEC 7, Once: the reboot that REBOOT causes does not repeat it. Programs are killed
// after the application has begun it and before it answers.
func TestPolledRebootOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dead []string
		want code.Code
	}{
		{[]string{"edge", "sink-proxima"}, code.OutcomeUnknown},
		{[]string{"edge"}, code.OutcomeUnknown},
		{[]string{"sink-proxima"}, code.OK},
	} {
		t.Run(strings.Join(c.dead, " and "), func(t *testing.T) {
			t.Parallel()
			app, setting := application(t, simulate.ApplicationOptions{RebootTime: 100 * time.Millisecond})
			s := runSite(t, settings{Limits: setting, Commands: true})
			killed := make(chan struct{})
			app.OnCommand(func(e simulate.Executed) {
				select {
				case <-killed:
					return
				default:
				}
				for _, name := range c.dead {
					s.processes[name].kill()
				}
				close(killed)
			})
			order(t, s, "r", command.Reboot)
			<-killed
			s.start(c.dead...)
			eventually(t, 30*time.Second, say("the result"), func() bool { return len(polledResults(t, s)) == 1 })
			if r := polledResults(t, s)[`"r"`].Results; len(r) != 1 || r[0].Code != c.want {
				t.Errorf("result %+v, want code %d", r, c.want)
			}
			order(t, s, "s", command.GetDeviceInfo) // behind it nothing is left
			eventually(t, 30*time.Second, say("the next result"), func() bool { return len(polledResults(t, s)) == 2 })
			if n := app.Counts().Commands[command.Reboot]; n != 1 {
				t.Errorf("rebooted %d times", n)
			}
		})
	}
}
