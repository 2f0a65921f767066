package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/app"
	"vestnik/internal/cli"
	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/ledger"
	"vestnik/internal/simulate"
)

const siteRules = `<rules>
	<rule name='без доставки'><event_attrs kind='drop'/><event_params delivery='never'/></rule>
	<rule name='two'><event_attrs kind='two'/><event_params period='count_2'/></rule>
	<rule name='urgent'><event_attrs kind='urgent'/><event_params priority='high'/></rule>
</rules>`

// site is an installation with two simulated monitoring systems.
type site struct {
	t        testing.TB
	dir      string
	hosted   []string // programs
	uralsib  *simulate.Uralsib
	terminal string // address
	server   string // URL

	stop  func()       // ends the edge
	ended <-chan error // its end
}

// newSite writes an installation whose edge hosts the named parts.
func newSite(t testing.TB, hosted ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), uralsib: simulate.NewUralsib(simulate.UralsibOptions{})}
	uralsib, proxima := httptest.NewServer(s.uralsib), httptest.NewServer(simulate.NewProxima(simulate.ProximaOptions{}))
	t.Cleanup(uralsib.Close)
	t.Cleanup(proxima.Close)
	for _, part := range hosted {
		if part != "router" {
			part = app.SinkProgram(part)
		}
		s.hosted = append(s.hosted, part)
	}
	s.write("rules.xml", siteRules)
	s.write("nats.conf", `listen: "127.0.0.1:-1", jetstream { store_dir: "data" }`)
	s.write("vestnik.conf", fmt.Sprintf(`atm: "00000040"
terminal { listen: "127.0.0.1:0", signatures { URAL: [uralsib], JSON: [proxima] } }
sinks {
  uralsib { RemoteMonitoringUrl: "%s/m", retry_min: "20ms", retry_max: "40ms" }
  proxima { RemoteMonitoringUrl: "%s/m" }
}
store { events_bytes: 64MB }
run: [%s]
`, uralsib.URL, proxima.URL, strings.Join(hosted, ", ")))
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.file(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the edge until stop.
func (s *site) start() {
	s.t.Helper()
	cfg, err := cli.Load(s.file("vestnik.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	serving, ended := make(chan app.Serving, 1), make(chan error, 1)
	go func() {
		ended <- app.RunEdge(ctx, cfg, zerolog.Nop(), func(at app.Serving) { serving <- at })
		close(ended)
	}()
	s.ended, s.stop = ended, sync.OnceFunc(func() { cancel(); <-ended })
	s.t.Cleanup(s.stop)
	select {
	case at := <-serving:
		s.terminal, s.server = at.Terminal.String(), at.NATS
	case err := <-ended:
		s.t.Fatal(err)
	}
	s.until("the edge and its parts answer", func() bool {
		st := s.status()
		return st.program("edge").Running && !slices.ContainsFunc(s.hosted, func(name string) bool { return !st.program(name).Running })
	})
}

// program runs one of the programs that are not hosted.
func (s *site) program(name string, run cli.Program) (ended <-chan error) {
	s.t.Helper()
	cfg, err := cli.Load(s.file("vestnik.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.NATS.URL = s.server
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, cfg, zerolog.Nop(), nil); close(done) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.until("program "+name, func() bool { return s.status().program(name).Running })
	return done
}

// try runs a vestnik command against the site.
func (s *site) try(args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	err = run(ctx, append(args, "-c", s.file("vestnik.conf"), "--server", s.server), strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), err
}

// run is try that must succeed.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, errs, err := s.try(args...)
	if err != nil || errs != "" {
		s.t.Fatalf("vestnik %v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

// end waits for a program's end.
func (s *site) end(ended <-chan error) error {
	s.t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(10 * time.Second):
		s.t.Fatal("a program does not end")
		return nil
	}
}

// send hands an event over and returns the answer's code.
func (s *site) send(kind string) code.Code {
	s.t.Helper()
	body := fmt.Sprintf(`<event severity='critical' device='13' atm='40' kind='%s' message='Привет, «мир» &lt;1&gt;'/>`, kind)
	answer, err := simulate.Send(s.t.Context(), s.terminal, "URAL", frame.BigEndian, []byte(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := simulate.ReadResult(answer)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Code
}

// queue is what vestnik queue --json prints, kind and state of each event, in short.
func (s *site) queue(args ...string) []string {
	s.t.Helper()
	var list []string
	dec := json.NewDecoder(strings.NewReader(s.run(append([]string{"queue", "--json"}, args...)...)))
	for dec.More() {
		var e ledger.Entry
		if err := dec.Decode(&e); err != nil {
			s.t.Fatal(err)
		}
		kind := "own" // the edge's, of a pause
		for _, a := range e.Attributes {
			if a.Name == "kind" {
				kind = a.Value
			}
		}
		list = append(list, kind+" "+e.State)
	}
	return list
}

// wantQueue waits until the queue is so.
func (s *site) wantQueue(want ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("queue %q", want), func() bool { return fmt.Sprint(s.queue("--sink", "uralsib")) == fmt.Sprint(want) })
}

// until waits for a condition, with a limit.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			s.t.Fatalf("not within 10 s: %s\n%s", what, s.run("status"))
		}
		time.Sleep(5 * time.Millisecond) // between two looks, as long as the condition is not met
	}
}

// status is what vestnik status --json prints.
func (s *site) status() *status {
	s.t.Helper()
	var st status
	if err := json.Unmarshal([]byte(s.run("status", "--json")), &st); err != nil {
		s.t.Fatal(err)
	}
	for i := range st.Programs {
		if p := &st.Programs[i]; p.Running {
			if err := p.read(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return &st
}

func (s *status) program(name string) programStatus {
	for _, p := range s.Programs {
		if p.Program == name {
			return p
		}
	}
	return programStatus{}
}
