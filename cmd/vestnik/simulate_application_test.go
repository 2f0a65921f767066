package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
)

// A player is a "simulate terminal" at work.
type player struct {
	addr string // where it takes commands
	out  lineWriter
	stop func() error // ends it as a signal does; the rest of its output is then in out
}

func play(t *testing.T, args ...string) player {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(lineWriter, 100), make(chan error, 1)
	cmd := newRoot()
	cmd.SetOut(out)
	cmd.SetErr(out)
	cmd.SetArgs(append([]string{"simulate", "terminal", "--listen", "127.0.0.1:0"}, args...))
	go func() { done <- cmd.ExecuteContext(ctx); close(out) }()
	line := <-out
	_, addr, ok := strings.Cut(strings.TrimSpace(line), "terminal application listens on ")
	if !ok {
		t.Fatalf("%q, %v", line, <-done)
	}
	return player{addr, out, func() error { cancel(); return <-done }}
}

func (p player) ask(t *testing.T, commands string) string {
	t.Helper()
	answer, err := simulate.Send(t.Context(), p.addr, "URAL", frame.BigEndian, []byte("<monitoring>"+commands+"</monitoring>"))
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

func (p player) rest() string {
	var all strings.Builder
	for line := range p.out {
		all.WriteString(line)
	}
	return all.String()
}

const twoCommands = `<command id="7 a" name="GET_STATUS"><param value="CIM"/><param value="XYZ"/></command><command id="8" name="OPEN_SAFE"/><command name="RESET"><param value="PIN"/></command>`

func TestSimulateTerminalAnswersCommands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "executed")
	edge := terminalPort(t, frame.BigEndian)
	p := play(t, "--events=false", "--addr", edge, "--executed", file, "--atm", "77", "--missing", "CDM")
	if answer := p.ask(t, twoCommands); strings.Count(answer, "<command_result") != 4 || !strings.Contains(answer, "<monitoring atm='00000077'>") {
		t.Errorf("%s", answer)
	}
	record, err := os.ReadFile(file) // it is there when the answer is
	if want := "00000077 \"7 a\" GET_STATUS CIM XYZ\n00000077 \"\" RESET PIN\n"; err != nil || string(record) != want {
		t.Errorf("%v, %q, want %q", err, record, want)
	}
	for _, want := range []string{"00000077  failed          id 7 a     GET_STATUS CIM XYZ  0 Статус устройства; 151 Неизвестное устройство\n",
		"failed          id 8       OPEN_SAFE  101 Неизвестная команда\n", "command         id         RESET PIN  0 Состояние устройства было сброшено\n",
		"normal    PIN   code 0     Состояние устройства было сброшено\n"} {
		if line := <-p.out; !strings.HasSuffix(line, want) || strings.Contains(line, "\x1b") {
			t.Errorf("%q, want %q", line, want)
		}
	}
	if answer := p.ask(t, `<command id="9" name="GET_STATUS"><param value="CDM"/></command>`); !strings.Contains(answer, "code='151'") {
		t.Errorf("%s", answer)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if out := p.rest(); !strings.Contains(out, "  2 messages with commands\n") || !strings.Contains(out, "  1 results with code 101\n") {
		t.Errorf("%s", out)
	}
}

func TestSimulateTerminalDispenses(t *testing.T) {
	t.Parallel()
	p := play(t, "--events=false", "--addr", "", "--quiet", "--dispense", "100")
	const units = `<command id="1" name="GET_CASH_UNIT_INFO"><param value="CDM"/></command>`
	if answer := p.ask(t, units); !strings.Contains(answer, "<ulCount>1999<") {
		t.Errorf("%s", answer)
	}
	for end := time.Now().Add(20 * time.Second); !strings.Contains(p.ask(t, units), "<ulCount>1899<"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no notes go out")
		}
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if out := p.rest(); strings.Count(out, "messages with commands") != 1 || strings.Contains(out, "id 1") {
		t.Errorf("%s", out)
	}
}

// Events and commands at once; in JSON.
func TestSimulateTerminalEventsAndCommands(t *testing.T) {
	t.Parallel()
	p := play(t, "--addr", terminalPort(t, frame.BigEndian), "--rate", "1000", "--json", "--answer-fault", "few", "--answer-fault-for", "RESET")
	p.ask(t, twoCommands)
	seen := map[string]bool{}
	for !seen["RESET"] || !seen["event"] {
		var line struct {
			Name, Template, Fault, State string
			Codes                        []int
		}
		if err := json.Unmarshal([]byte(<-p.out), &line); err != nil {
			t.Fatal(err)
		}
		seen[line.Name] = true
		if line.Template != "" {
			seen["event"] = true
		} else if line.Fault != "few" || line.State != "waiting" || len(line.Codes) == 0 {
			t.Errorf("%+v", line)
		}
	}
	go func() { // the events go on; nobody must wait for the reader
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}()
	lines := strings.Split(strings.TrimSpace(p.rest()), "\n")
	var counts simulate.ApplicationCounts
	var report struct{ Events, Confirmed int }
	if len(lines) < 2 {
		t.Fatalf("%q", lines)
	}
	for _, l := range lines[len(lines)-2:] {
		if err := json.Unmarshal([]byte(l), &counts); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(l), &report); err != nil {
			t.Fatal(err)
		}
	}
	if counts.Messages != 1 || counts.Commands["GET_STATUS"] != 1 || report.Events == 0 {
		t.Errorf("%+v, %+v", counts, report)
	}
}

// With -c the number, the port and the byte order are those of the configuration.
func TestSimulateTerminalAsConfigured(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "vestnik.conf")
	text := fmt.Sprintf("atm: \"00000123\"\nterminal { listen: %q, application: %q, byte_order: little, signatures { JSON: [proxima] } }\n",
		terminalPort(t, frame.LittleEndian), nobody(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := play(t, "-c", file, "--events=false")
	answer, err := simulate.Send(t.Context(), p.addr, "JSON", frame.LittleEndian, []byte(`<monitoring atm="40"/>`))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := proatm.ParseCommandAnswer(answer); err != nil || a.Code != 102 {
		t.Errorf("%v, %s", err, answer)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	cmd := simulateTerminalCommand()
	cmd.Flags().String("config", file, "")
	var o terminalFlags
	o.application.listen = "default"
	if err := o.completeApplication(cmd); err != nil || !strings.Contains(text, o.application.listen) || o.ATM[0] != "00000123" {
		t.Errorf("%v, %q, %v", err, o.application.listen, o.ATM)
	}
}

// Somebody has the port: with --listen, or with nothing else to do, that is an error;
// else events go on.
func TestSimulateTerminalPortIsTaken(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct {
		given, events bool
		fails         bool
	}{{true, true, true}, {false, false, true}, {false, true, false}} {
		var told bytes.Buffer
		o := applicationFlags{listen: ln.Addr().String(), given: c.given, events: c.events, stderr: &told}
		got, err := o.open()
		if got != nil || (err != nil) != c.fails || (told.Len() > 0) == c.fails {
			t.Errorf("%+v: %v, %q", c, err, told.String())
		}
		if text := told.String() + fmt.Sprint(err); !strings.Contains(text, "cannot listen for commands on "+ln.Addr().String()+": ") ||
			!c.fails && !strings.HasSuffix(told.String(), "; events only\n") {
			t.Errorf("%+v: %s", c, text)
		}
	}
	addr := terminalPort(t, frame.BigEndian)
	if out, err := runSimulator(t, newRoot(), "", "simulate", "terminal", "--addr", addr, "--once", "heartbeat", "--listen", ln.Addr().String()); err == nil || out != "" {
		t.Errorf("%v, %q", err, out)
	}
}

func TestSimulateTerminalApplicationErrors(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown fault "x" of answers, known are silent, close`: {"--answer-fault", "x"},
		`no command "REBOT" whose answer could be at fault`:     {"--answer-fault-for", "REBOT"},
		`no device "XYZ" that could be missing`:                 {"--missing", "XYZ"},
		"durations and numbers cannot be negative":              {"--reboot-time", "-1s"},
		"record of executed commands: open":                     {"--executed", filepath.Join(t.TempDir(), "no", "file")},
	} {
		_, err := runSimulator(t, newRoot(), "", append([]string{"simulate", "terminal", "--events=false", "--listen", "127.0.0.1:0"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A record that cannot be written ends the program: a count that may be short is worth
// nothing.
func TestSimulateTerminalRecordFails(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	cmd, out := newRoot(), make(lineWriter, 100)
	cmd.SetOut(out)
	cmd.SetArgs([]string{"simulate", "terminal", "--events=false", "--addr", "", "--listen", "127.0.0.1:0", "--executed", "/dev/full"})
	done := make(chan error)
	go func() { done <- cmd.ExecuteContext(t.Context()) }()
	_, addr, _ := strings.Cut(strings.TrimSpace(<-out), "listens on ")
	simulate.Send(t.Context(), addr, "URAL", frame.BigEndian, []byte("<monitoring>"+twoCommands+"</monitoring>"))
	if err := <-done; err == nil || !strings.Contains(err.Error(), "record of executed commands") {
		t.Errorf("%v", err)
	}
}

func TestWordsOfTheRecord(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"7": "7", "": `""`, "a b": `"a b"`, "Привет": "Привет", "a\nb": `"a\nb"`, `q"`: `"q\""`} {
		if got := word(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
