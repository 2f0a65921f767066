package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vestnik/internal/simulate"
)

// Rules, configuration and credentials that are replaced by broken ones while
// the programs run change nothing and are told; good ones take effect without a
// restart, and nothing that was answered 0 is lost by it (SPEC 3, SPEC 11, ADR 0026).
func TestReload(t *testing.T) {
	t.Parallel()
	reloadAll(t, settings{URAL: "uralsib, proxima"}, programs)
}

func TestReloadHosted(t *testing.T) {
	t.Parallel()
	reloadAll(t, settings{URAL: "uralsib, proxima", Run: "router, uralsib, proxima"}, programs[:1])
}

func reloadAll(t *testing.T, o settings, programs []string) {
	s := newSite(t, o)
	other := simulate.NewUralsib(simulate.UralsibOptions{})
	address := serve(t, other.Serve) + "/other"
	s.start(programs...)
	load := s.load()
	before := s.started(programs)

	s.breakConfiguration()
	if now := s.started(programs); !slices.Equal(now, before) {
		t.Errorf("a broken configuration began something again: %v, before %v", now, before)
	}
	s.change(`uralsib { RemoteMonitoringUrl: "[^"]*"`, `uralsib { RemoteMonitoringUrl: "`+address+`"`)
	out, errs, code := s.vestnik("reload")
	if code != 0 || strings.Count(out, "new configuration in force") != len(programs) {
		t.Errorf("reload: exit code %d\n%s%s", code, out, errs)
	}
	for i, name := range programs { // those that the edge's change has cut off come back
		eventually(t, 10*time.Second, say("%s has not begun again", name), func() bool { return s.started(programs)[i].After(before[i]) })
	}
	eventually(t, 10*time.Second, say("no event at the new address"), func() bool { return len(other.Arrivals()) > 0 })
	for _, p := range programs {
		if s.processes[p].over() {
			t.Errorf("the process of %s has ended", p)
		}
	}
	sent := load()
	eventually(t, 20*time.Second, func() string {
		return fmt.Sprintf("%d events were accepted; uralsib has %d and %d, proxima %d", sent, different(s.uralsib.Arrivals()), different(other.Arrivals()), different(s.proxima.Arrivals()))
	}, func() bool {
		return different(append(s.uralsib.Arrivals(), other.Arrivals()...)) == sent && different(s.proxima.Arrivals()) == sent
	})
}

// different counts different events.
func different(arrivals []simulate.Arrival) int {
	seen := map[string]bool{}
	for _, a := range arrivals {
		seen[a.ID] = true
	}
	return len(seen)
}

// load sends events one by one until it is stopped, and returns how many were
// answered 0; nothing but 0 is an answer while the edge changes over.
func (s *site) load() (stop func() int) {
	var sent atomic.Int64
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if r := s.send("URAL", fmt.Sprintf("<event severity='normal' device='12' n='%d'/>", sent.Load())); r.Code != 0 {
				s.t.Errorf("code %d: %s", r.Code, r.Description)
				return
			}
			sent.Add(1)
			time.Sleep(2 * time.Millisecond) // a load, not a flood
		}
	}()
	return func() int { close(quit); <-done; return int(sent.Load()) }
}

// breakConfiguration replaces the files by broken ones and sees them refused, with
// the place, by the command and in the log.
func (s *site) breakConfiguration() {
	s.t.Helper()
	for _, broken := range []struct{ file, text, told string }{
		{"vestnik.conf", "atm: x\n", "vestnik.conf:1:1: atm: "},
		{"rules.xml", "<rules><rule/></rules>", "rules.xml:1:8: "},
		{"nats.conf", "listen: [\n", "nats.conf:"},
	} {
		good, err := os.ReadFile(s.path(broken.file))
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(broken.file, broken.text)
		if out, errs, code := s.vestnik("reload"); code == 0 || !strings.Contains(errs, broken.told) {
			s.t.Errorf("broken %s: exit code %d, want %q\n%s%s", broken.file, code, broken.told, out, errs)
		}
		s.processes["edge"].logged(s.t, broken.told)
		s.write(broken.file, string(good))
	}
}

// vestnik runs the command against the site.
func (s *site) vestnik(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	return run(s.t, nil, program("vestnik"), append(args, "--server", "nats://"+s.nats, "-c", s.path("vestnik.conf"))...)
}

// started is when each program's present life began.
func (s *site) started(programs []string) []time.Time {
	s.t.Helper()
	out, errs, code := s.vestnik("status", "--json")
	if code != 0 {
		s.t.Fatalf("status: %s", errs)
	}
	var st struct {
		Programs []struct {
			Program string
			Status  struct{ Started time.Time }
		}
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		s.t.Fatal(err)
	}
	var list []time.Time
	for _, p := range st.Programs {
		if slices.Contains(programs, p.Program) {
			list = append(list, p.Status.Started)
		}
	}
	return list
}

// change replaces the first match in vestnik.conf.
func (s *site) change(pattern, by string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("vestnik.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	at := regexp.MustCompile(pattern).FindIndex(text)
	if at == nil {
		s.t.Fatalf("vestnik.conf has no %s", pattern)
	}
	s.write("vestnik.conf", string(text[:at[0]])+by+string(text[at[1]:]))
}

// over tells whether the process has ended.
func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// A port that is taken is known only when the new life begins: the edge goes back.
func TestReloadGoesBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Run: "router, uralsib, proxima"})
	taken := newSite(t, settings{Run: "router, uralsib, proxima"})
	taken.start("edge")
	s.start("edge")
	s.change(fmt.Sprintf("listen: %q", s.terminal), fmt.Sprintf("listen: %q", taken.terminal))
	out, errs, code := s.vestnik("reload", "edge")
	if code != 1 || !strings.Contains(errs, "address already in use") || !strings.Contains(errs, "what was in force stays in force") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	s.accept("URAL", "<event severity='normal' device='12'/>")
	eventually(t, 10*time.Second, say("the event is not delivered"), func() bool { return len(s.uralsib.Arrivals()) == 1 })
}

// SIGHUP is a reload.
func TestReloadBySignal(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Run: "router, uralsib, proxima"})
	s.start("edge")
	port := freeAddr(t)
	s.change(fmt.Sprintf("listen: %q", s.terminal), fmt.Sprintf("listen: %q", port))
	if err := s.processes["edge"].cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.processes["edge"].logged(t, fmt.Sprintf(`"terminal":%q`, port))
	s.terminal = port
	s.accept("URAL", "<event severity='normal' device='12'/>")
}

// A nats.conf that is well-formed and does not serve: the edge goes back to the one it
// had, whose text is not on the disk any more.
func TestReloadGoesBackToServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Run: "router, uralsib, proxima"})
	s.start("edge")
	s.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: \"rules.xml\" }\n", s.nats))
	out, errs, code := s.vestnik("reload", "edge")
	if code != 1 || !strings.Contains(errs, "what was in force stays in force") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	s.accept("URAL", "<event severity='normal' device='12'/>")
	eventually(t, 10*time.Second, say("the event is not delivered"), func() bool { return len(s.uralsib.Arrivals()) == 1 })
	if s.processes["edge"].over() {
		t.Error("the edge has ended")
	}
}

// Signals that come while a program changes over do not end it.
func TestReloadBySignals(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Run: "router, uralsib, proxima"})
	s.start("edge")
	edge := s.processes["edge"]
	for i := range 10 {
		s.change(`frame_timeout: [^\n]*|listen: ("127[^\n]*)`, fmt.Sprintf("frame_timeout: \"%ds\"\n  listen: %q", 5+i, s.terminal))
		for range 12 {
			if err := edge.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatalf("the edge has ended: %v", err)
			}
			time.Sleep(5 * time.Millisecond) // signals in a row, not at once
		}
		s.write("vestnik.conf", strings.Replace(s.read("vestnik.conf"), fmt.Sprintf("frame_timeout: \"%ds\"\n", 5+i), "", 1))
	}
	eventually(t, 10*time.Second, say("the edge takes no event"), func() bool {
		return s.send("URAL", "<event severity='normal' device='12'/>").Code == 0
	})
}

func (s *site) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// An edge that comes back with an empty store, as after a disk was replaced, is served
// by the router and sinks that run.
func TestEmptyStore(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{URAL: "uralsib, proxima"})
	s.accept("URAL", "<event severity='normal' device='12' n='1'/>")
	eventually(t, 10*time.Second, say("the first event is not delivered"), func() bool { return len(s.uralsib.Arrivals()) == 1 })
	s.processes["edge"].stop(t)
	if err := os.Rename(s.path("data"), s.path("data.old")); err != nil {
		t.Fatal(err)
	}
	s.start("edge")
	s.accept("URAL", "<event severity='normal' device='12' n='2'/>")
	eventually(t, 20*time.Second, say("the event behind the empty store is not delivered"), func() bool {
		return len(s.uralsib.Arrivals()) == 2 && len(s.proxima.Arrivals()) == 2
	})
}
