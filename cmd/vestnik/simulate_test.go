package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
)

// runSimulator runs a command until it ends by itself.
func runSimulator(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

// terminalPort answers frames, one per connection, with the code of their body's event.
func terminalPort(t *testing.T, order frame.Order) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h, body, _ := frame.Read(conn, order, frame.MaxBody)
			c := code.OK
			if _, err := proatm.Parse(body, proatm.Limits{}); err != nil {
				c = err.(*code.Error).Code
			}
			frame.Write(conn, order, h.Name(), proatm.Result(c, ""))
			conn.Close()
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// nobody is an address where nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestSendPrintsTheAnswer(t *testing.T) {
	t.Parallel()
	addr := terminalPort(t, frame.LittleEndian)
	out, err := runSimulator(t, sendCommand(), "<event severity='normal' device='0'/>", "-", "--addr", addr, "--little", "--signature", "JSON")
	if want := string(proatm.Result(code.OK, "")) + "\n"; err != nil || out != want {
		t.Errorf("%v, %q, want %q", err, out, want)
	}
}

// With -c the port, its byte order and the signature are those of the configuration.
func TestSendAsConfigured(t *testing.T) {
	t.Parallel()
	addr := terminalPort(t, frame.LittleEndian)
	file := filepath.Join(t.TempDir(), "vestnik.conf")
	text := fmt.Sprintf("atm: \"00000040\"\nterminal { listen: %q, byte_order: little, signatures { JSON: [proxima], URAL: [uralsib] } }\n", addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runSimulator(t, newRoot(), "<event severity='normal' device='0'/>", "send", "-", "-c", file)
	if err != nil || !strings.Contains(out, "code='0'") {
		t.Errorf("%v, %q", err, out)
	}
	if _, err := runSimulator(t, newRoot(), "<event/>", "send", "-", "-c", file, "--addr", nobody(t)); err == nil || !strings.Contains(err.Error(), "is the edge running") {
		t.Errorf("--addr beside -c: %v", err)
	}
}

func TestSendFailsAtAnotherCode(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "event.xml")
	if err := os.WriteFile(file, []byte("<event severity='normal'/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runSimulator(t, sendCommand(), "", file, "--addr", terminalPort(t, frame.BigEndian))
	if want := string(proatm.Result(code.MissingAttribute, "")) + "\n"; err == nil || !strings.Contains(err.Error(), "code 5") || out != want {
		t.Errorf("%v, %q", err, out)
	}
}

func TestSendSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"is the edge running":      {"-", "--addr", nobody(t)},
		"frame too large":          {"-", "--addr", terminalPort(t, frame.BigEndian)},
		"signature is not 4 bytes": {"-", "--addr", terminalPort(t, frame.BigEndian), "--signature", "TOO LONG"},
		"read message":             {"no such file"},
	} {
		body := "<event/>"
		if want == "frame too large" {
			body = strings.Repeat("x", frame.MaxBody+1)
		}
		out, err := runSimulator(t, sendCommand(), body, args...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || out != "" {
			t.Errorf("got %v, %q, want %q", err, out, want)
		}
	}
	if _, err := runSimulator(t, sendCommand(), "", "-"); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty stdin: %v", err)
	}
}

func TestSimulateTerminal(t *testing.T) {
	t.Parallel()
	addr := terminalPort(t, frame.BigEndian)
	out, err := runSimulator(t, simulateCommand(), "", "terminal", "--addr", addr, "--count", "20", "--rate", "0", "--terminals", "2",
		"--json-share", "0.5", "--fault", "malformed=0.3,slow=0.1", "--slow", "5ms", "--tag", "demo_id", "--json")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var report struct {
		Events, Confirmed int
		Faults            map[string]struct{ Sent int }
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 21 || report.Confirmed != report.Events || report.Events+report.Faults["malformed"].Sent != 20 || report.Events == 20 {
		t.Errorf("%d lines, %+v", len(lines), report)
	}
}

func TestSimulateTerminalOnceAndList(t *testing.T) {
	t.Parallel()
	out, err := runSimulator(t, simulateCommand(), "", "terminal", "--addr", terminalPort(t, frame.BigEndian), "--once", "proatm-started")
	if err != nil || !strings.Contains(out, "code 0     Запущено терминальное ПО ProATM") || strings.Count(out, "\n") != 1 {
		t.Errorf("%v, %q", err, out)
	}
	out, err = runSimulator(t, simulateCommand(), "", "terminal", "--list")
	if err != nil || !strings.Contains(out, "[heartbeat 15]\n") || !strings.Contains(out, "= #ISO8583_AUTH_STATUS#\n") {
		t.Errorf("%v, %q", err, out)
	}
}

func TestSimulateTerminalErrors(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"is the edge running":      {"--addr", nobody(t)},
		"no template named \"x\"":  {"--once", "x"},
		"is not NAME=SHARE":        {"--fault", "garbage"},
		"unknown fault \"x\"":      {"--fault", "x=1"},
		"is the edge running, and": {"--addr", nobody(t), "--once", "heartbeat"},
	} {
		_, err := runSimulator(t, simulateCommand(), "", append([]string{"terminal"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSimulatedPortIsTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, system := range []string{"uralsib", "proxima"} {
		_, err := runSimulator(t, simulateCommand(), "", system, "--listen", ln.Addr().String())
		if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on "+ln.Addr().String()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", system, err)
		}
	}
}

// lineWriter hands on each line as it is written.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestSimulateMonitors(t *testing.T) {
	t.Parallel()
	for system, send := range map[string]func(url, id string) (*http.Response, error){
		"uralsib": func(url, id string) (*http.Response, error) {
			r, _ := http.NewRequest(http.MethodGet, url+"/?severity=normal&device=1&message=abc", nil)
			r.Header.Set("Ce-Id", id)
			return http.DefaultClient.Do(r)
		},
		"proxima": func(url, id string) (*http.Response, error) {
			r, _ := http.NewRequest(http.MethodPost, url+"/events", strings.NewReader(`{"severity":"normal","device":"1","message":"abc"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Ce-Id", id)
			return http.DefaultClient.Do(r)
		},
	} {
		t.Run(system, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, done := make(lineWriter, 100), make(chan error, 1)
			cmd := simulateCommand()
			cmd.SetOut(out)
			cmd.SetArgs([]string{system, "--listen", "127.0.0.1:0", "--answer", "message:b=422", "--cut", "1h", "--after", "1h"})
			go func() { done <- cmd.ExecuteContext(ctx) }()
			_, url, _ := strings.Cut(strings.TrimSpace(<-out), "listens on ")
			answer, err := send(url, event.NewID(time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != 422 {
				t.Errorf("status %d", answer.StatusCode)
			}
			if line := <-out; !strings.Contains(line, "normal") || !strings.HasSuffix(line, "422        abc\n") {
				t.Errorf("line %q", line)
			}
			http.DefaultClient.CloseIdleConnections()
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			close(out)
			var summary strings.Builder
			for line := range out {
				fmt.Fprint(&summary, line)
			}
			if !strings.Contains(summary.String(), "1 answered with status 422\n") {
				t.Errorf("%s", summary.String())
			}
		})
	}
}

func TestParseMatch(t *testing.T) {
	t.Parallel()
	if m, err := parseMatch("message:a=b:c=422"); err != nil || m.Attr != "message" || m.Text != "a=b:c" || m.Status != 422 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, s := range []string{"", "message=422", ":x=422", "message:x", "message:x=abc"} {
		if _, err := parseMatch(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestFaultFlagsSwitchBehaviour(t *testing.T) {
	t.Parallel()
	var o monitorFlags
	o.outage, o.hang, o.cut = time.Second, time.Minute, time.Hour
	m := simulate.NewUralsib(simulate.UralsibOptions{}).Monitor
	for d, set := range o.faults(m) {
		if err := set(true); err != nil {
			t.Fatal(err)
		}
		on := m.Behaviour()
		if on.Outage != (d == o.outage) || on.Hang != (d == o.hang) || on.Cut != (d == o.cut) {
			t.Errorf("fault that lasts %s: %+v", d, on)
		}
		if err := set(false); err != nil {
			t.Fatal(err)
		}
		if off := m.Behaviour(); off.Outage || off.Hang || off.Cut {
			t.Errorf("fault that lasts %s does not end: %+v", d, off)
		}
	}
}

func TestLasting(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx      context.Context
		after, d time.Duration
		want     string
	}{
		{t.Context(), 0, time.Millisecond, "[true false]"},
		{t.Context(), 0, 0, "[]"},
		{ended, time.Hour, time.Hour, "[]"},
	} {
		var calls []bool
		if err := lasting(c.ctx, c.after, c.d, func(on bool) error { calls = append(calls, on); return nil }); err != nil || fmt.Sprint(calls) != c.want {
			t.Errorf("%v, %v, want %s", err, calls, c.want)
		}
	}
}
