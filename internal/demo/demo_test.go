package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// out may be written and read at the same time.
type out struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *out) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *out) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// lastLine reads the JSON that ends a demo's output.
func lastLine(t *testing.T, text string) (s Sums) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, text)
	}
	return s
}

func TestDemoAddsUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	var o out
	err := Run(t.Context(), Options{Duration: 20 * time.Second, Events: 400, Rate: 400, Terminals: 4, Seed: 3, Dir: dir, Out: &o})
	if err != nil {
		t.Fatalf("%v\n%s", err, &o)
	}
	s := lastLine(t, o.String())
	if s.Sent != 400 || len(s.Sinks) != 2 {
		t.Errorf("sums %+v", s)
	}
	for name, k := range s.Sinks {
		if k.open() != 0 || k.Delivered == 0 || k.Suppressed == 0 {
			t.Errorf("%s: %+v", name, k)
		}
	}
	if want := (CommandSums{Asked: 5, OK: 5, Executed: 4, Repeated: 1}); s.Commands != want {
		t.Errorf("commands %+v, want %+v", s.Commands, want)
	}
	for _, want := range []string{"Command GET_STATUS CIM: code 0 in ", "Command GET_CASH_UNIT_INFO CDM: code 0 in ",
		"RESET CIM is sent again under its id", "RESET CIM came again under its id: answered from memory, not executed",
		"  ok     commands executed by the application 4 = asked 5 - answered from memory 1", "proxima rejected event", "at attempt 2", "answers 503 to everything", "uralsib is out (HTTP 503)",
		"uralsib takes events again", "held ", "  ok     sent 400 = answered with code 0 400"} {
		if !strings.Contains(o.String(), want) {
			t.Errorf("the output does not say %q:\n%s", want, &o)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "demo.log")); err != nil {
		t.Errorf("--dir is to keep the log: %v", err)
	}
}

// Ctrl-C ends the sending; what was answered still has to add up.
func TestInterruptedDemoAddsUp(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	var o out
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Duration: time.Minute, Rate: 200, Terminals: 3, Out: &o, Screen: size{100, 30}})
	}()
	for !strings.Contains(o.String(), " sent ") {
		select {
		case err := <-ended:
			t.Fatalf("%v\n%s", err, &o)
		case <-time.After(10 * time.Millisecond):
		}
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, &o)
	}
	if s := lastLine(t, o.String()); s.Sent == 0 || s.Sent >= 9600 || s.Commands.OK != s.Commands.Asked {
		t.Errorf("sums %+v", s)
	}
	if text := o.String(); strings.Index(text, leave) > strings.Index(text, "Interrupted") || !strings.Contains(text, leave) {
		t.Error("the terminal must be given back before anything else is printed")
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), Options{Dir: full, Out: &out{}}); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder with something in it: %v", err)
	}
	dir, remove, err := newFolder("")
	if err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range []Options{{Duration: -1}, {Duration: time.Millisecond}, {Events: -1}, {Rate: -1}, {Rate: 1e9}, {Terminals: -1}, {Terminals: 2000}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, test := range []struct {
		in     Options
		events int
		rate   float64
	}{
		{Options{}, 960, 60},
		{Options{Duration: 20 * time.Second, Events: 1300}, 1300, 100},
		{Options{Duration: 10 * time.Second, Rate: 100}, 800, 100},
		{Options{Events: 50, Rate: 10}, 50, 10},
	} {
		test.in.defaults()
		if test.in.Events != test.events || test.in.Rate != test.rate {
			t.Errorf("%d events at %v per second, want %d at %v", test.in.Events, test.in.Rate, test.events, test.rate)
		}
	}
}
