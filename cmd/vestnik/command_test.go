package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/control"
	"vestnik/internal/proatm"
	"vestnik/internal/schema"
)

// hall is a NATS server with terminals that answer as the test wants.
type hall struct {
	t      testing.TB
	server *broker.Server
	dir    string

	mu    sync.Mutex
	asked []command.Message // with ATM = the terminal that was asked
}

func newHall(t testing.TB, conf string) *hall {
	t.Helper()
	h := &hall{t: t, dir: t.TempDir()}
	file := h.write("nats.conf", `listen: "127.0.0.1:-1", `+conf)
	server, err := broker.Start(broker.Options{File: file, Dir: filepath.Join(h.dir, "data"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	h.server = server
	return h
}

func (h *hall) write(name, text string) string {
	h.t.Helper()
	file := filepath.Join(h.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return file
}

// desk answers for a terminal.
type desk func(ctx context.Context, m command.Message) command.Answer

func (d desk) Execute(ctx context.Context, m command.Message) command.Answer { return d(ctx, m) }

// serve lets terminals answer by the edge's own micro service until the test ends.
func (h *hall) serve(answer desk, atms ...string) {
	h.t.Helper()
	nc, err := h.server.Connect("edges")
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	for _, atm := range atms {
		door, err := control.OpenCommands(nc, control.Commands{ATM: atm, Version: "1.0.0", Log: zerolog.Nop(),
			Refused: func(context.Context, command.Message, command.Answer) { h.t.Error("a command is not read") },
			Executor: desk(func(ctx context.Context, m command.Message) command.Answer {
				m.ATM = atm
				h.mu.Lock()
				h.asked = append(h.asked, m)
				h.mu.Unlock()
				return answer(ctx, m)
			})})
		if err != nil {
			h.t.Fatal(err)
		}
		h.t.Cleanup(door.Close)
	}
}

func (h *hall) until(what string, ok func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			h.t.Fatalf("not within 10 s: %s", what)
		}
		time.Sleep(time.Millisecond) // between two looks, as long as the condition is not met
	}
}

// messages are those that were asked, so far.
func (h *hall) messages() []command.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]command.Message(nil), h.asked...)
}

func (h *hall) try(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	err = run(ctx, append(args, "--server", h.server.ClientURL()), strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), err
}

// wants is try with a line of arguments: "" in them is nothing at all.
func (h *hall) wants(ok bool, line string) (stdout, stderr string) {
	h.t.Helper()
	stdout, stderr, err := h.try(h.t.Context(), "", strings.Fields(line)...)
	if (err == nil) != ok {
		h.t.Errorf("vestnik %s: %v\n%s%s", line, err, stdout, stderr)
	}
	return stdout, stderr
}

// done answers each parameter with 0.
func done(_ context.Context, m command.Message) command.Answer {
	return answered(m, code.OK, "Выполнено")
}

func answered(m command.Message, c code.Code, text string) command.Answer {
	a := command.Answer{ATM: m.ATM, Head: command.Done()}
	for i, one := range m.Commands {
		for _, r := range one.Fail(&code.Error{Code: c, Description: text}) {
			r.Command, r.Source = i, "ProATM"
			a.Results = append(a.Results, r)
		}
	}
	return a
}

// DESIGN 5: the answer's XML, or JSON; 0 only if every command_result has code 0.
func TestCommandOne(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	h.serve(done, "00000040")
	out, errs := h.wants(true, "command 40 GET_STATUS CIM CDM --id 7")
	a, err := proatm.ParseCommandAnswer([]byte(out))
	if err != nil || a.ATM != "00000040" || len(a.Results) != 2 || a.Results[1].ID != "7" || *a.Results[1].Param != "CDM" || errs != "" || strings.Count(out, "\n") != 1 {
		t.Errorf("%v %+v\n%s%s", err, a, out, errs)
	}
	out, _ = h.wants(true, "command 00000040 GET_STATUS CIM --id 8 --json")
	if err := schema.ValidateAnswer([]byte(out)); err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, `"id":"8"`) {
		t.Errorf("%v\n%s", err, out)
	}
	_, errs = h.wants(true, "command 40 REBOOT")
	_, again := h.wants(true, "command 40 REBOOT --json")
	id := regexp.MustCompile(`^id (\d+) \(vestnik audit --id (\d+)\)\n$`)
	one, two := id.FindStringSubmatch(errs), id.FindStringSubmatch(again)
	all := h.messages()
	if one == nil || two == nil || one[1] != one[2] || one[1] == two[1] || all[2].Commands[0].ID != one[1] || all[3].Commands[0].ID != two[1] {
		t.Errorf("ids: %q %q", errs, again)
	}
	for _, m := range all {
		if m.Origin.Way != command.WayVestnik || m.Origin.Who != operator() || !strings.Contains(m.Origin.Who, "@") {
			t.Errorf("origin: %+v", m.Origin)
		}
	}
	_, _, err = h.try(t.Context(), "", "command", "40", "GET_STATUS", `two words "and quotes"`, "<&'")
	if got := h.messages()[4].Commands[0].Params; err != nil || len(got) != 2 || got[0].Value != `two words "and quotes"` || got[1].Value != "<&'" {
		t.Errorf("parameters: %v %q", err, got)
	}
}

// Every code says what it means and what to do; the answer is printed all the same.
func TestCommandCodes(t *testing.T) {
	t.Parallel()
	ours := func(c code.Code) desk {
		return func(_ context.Context, m command.Message) command.Answer {
			return command.Refuse(m.ATM, code.New(c, ""))
		}
	}
	own := func(_ context.Context, m command.Message) command.Answer {
		a := answered(m, code.NotPermitted, "")
		for i := range a.Results {
			a.Results[i].Source = command.Agent
		}
		return a
	}
	half := func(_ context.Context, m command.Message) command.Answer {
		a := answered(m, code.OK, "Выполнено")
		a.Results[1].Head = command.Head{Code: 151, Status: "error", Source: "ProATM", Description: "Нет такого"}
		return a
	}
	strange := func(_ context.Context, m command.Message) command.Answer { return answered(m, 9999, "Занято") }
	for name, c := range map[string]struct {
		answer desk
		want   string
	}{
		"104":   {ours(code.NoApplication), "terminal 00000040: code 104, terminal application not reachable (agent: Нет связи с терминальным ПО); it was not executed: is ProATM running, and is terminal.application its address?"},
		"7":     {ours(code.Paused), "terminal 00000040: code 7, paused (agent: Работа агента приостановлена, повторите отправку позже); vestnik resume ends the pause"},
		"106":   {own, "terminal 00000040: GET_STATUS CIM: code 106, not permitted (agent: Команда не разрешена); vestnik status says why; GET_STATUS CDM: code 106, not permitted (agent: Команда не разрешена); vestnik status says why"},
		"151":   {half, "terminal 00000040: GET_STATUS CDM: code 151, unknown device (ProATM: Нет такого)"},
		"9999":  {strange, "terminal 00000040: GET_STATUS CIM: code 9999 (ProATM: Занято); GET_STATUS CDM: code 9999 (ProATM: Занято)"},
		"other": {ours(code.ApplicationSlow), "terminal 00000040: code 105, terminal application timed out (agent: Терминальное ПО не ответило вовремя); it may still be executed: look at the terminal's state before sending it again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHall(t, "")
			h.serve(c.answer, "00000040")
			for _, form := range []string{"", " --json"} {
				out, errs := h.wants(false, "command 40 GET_STATUS CIM CDM --id 1"+form)
				if errs != "vestnik: "+c.want+"\n" {
					t.Errorf("%s", cmp.Diff("vestnik: "+c.want+"\n", errs))
				}
				if strings.Count(out, "\n") != 1 || (form == "") != strings.HasPrefix(out, "<?xml") {
					t.Errorf("printed %s", out)
				}
			}
		})
	}
}

// Where no answer comes the person is told what to do, and how not to act twice.
func TestCommandWithoutAnswer(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	hang := make(chan struct{})
	h.serve(func(ctx context.Context, m command.Message) command.Answer {
		select {
		case <-hang:
		case <-ctx.Done():
		}
		return done(ctx, m)
	}, "00000040")
	t.Cleanup(func() { close(hang) })
	const repeat = "REBOOT may have been executed. Sent again with --id 5 within repeat_window (10 min by default) it is not executed twice.\n"
	for line, want := range map[string]string{
		"command 41 REBOOT --id 5":                         "vestnik: no edge with number 00000041 is connected to NATS at " + h.server.ClientURL() + ": is it running, and is the number right? (nats micro ls shows who is there)\n",
		"command 40 REBOOT --id 5 --timeout 50ms":          repeat + "vestnik: no answer from terminal 00000040 within 50ms (--timeout); vestnik audit --id 5 shows what became of the command\n",
		"command 40 GET_DEVICE_INFO --id 5 --timeout 50ms": "vestnik: no answer from terminal 00000040 within 50ms (--timeout); vestnik audit --id 5 shows what became of the command\n",
	} {
		if out, errs := h.wants(false, line); out != "" || errs != want {
			t.Errorf("%s: %s\n%s", line, out, cmp.Diff(want, errs))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	before := len(h.messages())
	go func() {
		h.until("it is asked", func() bool { return len(h.messages()) > before })
		cancel()
	}()
	out, errs, err := h.try(ctx, "", "command", "40", "REBOOT", "--id", "5")
	if err == nil || out != "" || errs != repeat+"vestnik: interrupted\n" {
		t.Errorf("interrupted: %v\n%s%s", err, out, errs)
	}
}

// The broker goes while the answer is waited for.
func TestCommandConnectionLost(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	nc, err := h.server.Connect("silent")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync("cmd.00000040.REBOOT")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := sub.NextMsg(10 * time.Second); err == nil {
			h.server.Close()
		}
	}()
	out, errs, err := h.try(t.Context(), "", "command", "40", "REBOOT", "--id", "5")
	want := "REBOOT may have been executed. Sent again with --id 5 within repeat_window (10 min by default) it is not executed twice.\n" +
		"vestnik: " + errLost.Error() + "\n"
	if !errors.Is(err, errLost) || out != "" || errs != want {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
}

// What NATS does not permit is told at once, and is not waited for.
func TestCommandNotPermitted(t *testing.T) {
	t.Parallel()
	conf := `authorization { users: [
		{ user: edge, password: edge }
		{ user: looker, password: p, permissions { publish { allow: ["cmd.*.GET_STATUS"] }, subscribe { allow: ["_INBOX.>"] } } }
		{ user: deaf, password: p, permissions { publish { allow: ["cmd.>"] }, subscribe { deny: [">"] } } } ] }`
	h := newHall(t, conf)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range []struct{ user, line, want string }{
		{"looker", "command 40 REBOOT --id 5", "does not permit this user to send REBOOT to terminal 00000040, or to get the answer"},
		{"looker", "command 40 GET_STATUS CIM --id 5", "no edge with number 00000040 is connected"},
		{"deaf", "command 40 REBOOT --id 5", "does not permit this user to send REBOOT to terminal 00000040, or to get the answer"},
	} {
		url := strings.Replace(h.server.ClientURL(), "://", "://"+c.user+":p@", 1)
		var out, errs bytes.Buffer
		err := run(ctx, append(strings.Fields(c.line), "--server", url), nil, &out, &errs)
		if err == nil || !strings.Contains(errs.String(), c.want) || strings.Contains(errs.String(), "may have been") || ctx.Err() != nil {
			t.Errorf("%s %s: %v\n%s%s", c.user, c.line, err, &out, &errs)
		}
	}
}

// What is wrong is found before anything is sent, and before there is a connection.
func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := filepath.Join(dir, "two.txt")
	if err := os.WriteFile(list, []byte("40\n41\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		want  string
		usage bool
	}{
		{[]string{"40", "reboot"}, `unknown command "reboot", did you mean "REBOOT"?`, true},
		{[]string{"40", "GET_STATE", "CIM"}, `unknown command "GET_STATE", did you mean "GET_STATUS"?`, true},
		{[]string{"40", "FORMAT"}, `unknown command "FORMAT", known are REBOOT, GO_IN_SERVICE, GO_OUT_OF_SERVICE, GET_STATUS, RESET, GET_CASH_UNIT_INFO, GET_CIM_NOTETYPES, GET_DEVICE_INFO`, true},
		{[]string{"40", "GET_STATUS"}, "GET_STATUS needs a parameter: a device, as in vestnik command 40 GET_STATUS CIM", true},
		{[]string{"40", "RESET", "CIM", " "}, "RESET has an empty parameter: want a device, as in vestnik command 40 RESET CIM", true},
		{[]string{"40", "GET_STATUS", "C\x01IM"}, `"C\x01IM" has characters that XML does not allow`, true},
		{[]string{"40", "GET_STATUS", "C\xffIM"}, `"C\xffIM" has characters that XML does not allow`, true},
		{[]string{"4a", "REBOOT"}, `terminal "4a": want 1 to 8 digits`, true},
		{[]string{"123456789", "REBOOT"}, `terminal "123456789": want 1 to 8 digits`, true},
		{[]string{"REBOOT"}, "want ATM NAME [PARAM...], as in vestnik command 40 GET_STATUS CIM", true},
		{[]string{"--terminals", list}, "want NAME [PARAM...], as in vestnik command --terminals FILE GET_STATUS CIM", true},
		{[]string{"40", "REBOOT", "--id", " "}, "--id is empty: leave it out, and one is made", true},
		{[]string{"40", "REBOOT", "--parallel", "0"}, "--parallel 0: want 1 or more", true},
		{[]string{"40", "REBOOT", "--timeout", "0s"}, "--timeout 0s: want more than 0", true},
		{[]string{"--terminals", list, "REBOOT"}, "REBOOT acts, and would go to 2 terminals: 00000040, 00000041; nothing has been sent, --yes sends it", false},
		{[]string{"--terminals", filepath.Join(dir, "none.txt"), "REBOOT"}, "read terminals: open " + filepath.Join(dir, "none.txt") + ": no such file or directory", false},
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), append(append([]string{"command"}, c.args...), "--server", "nats://127.0.0.1:1"), nil, &out, &errs)
		want := "vestnik: " + c.want + "\n"
		if c.usage {
			want += "Run \"vestnik command --help\" for help.\n"
		}
		if err == nil || out.Len() > 0 || errs.String() != want {
			t.Errorf("%q: %v %s", c.args, err, cmp.Diff(want, errs.String()))
		}
	}
}

func TestReadTerminals(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("x\n", 12)
	for _, c := range []struct{ in, atms, notes, err string }{
		{"\uFEFF40\r\n# branch\r\n\r\n  00000041  # the new one\n7", "00000040 00000041 00000007", "", ""},
		{"40\n41\n00000040\n040\n", "00000040 00000041", "f:3: terminal 00000040 stands on line 1 already; it is asked once", ""},
		{"40\n4 1\nABC\n", "00000040", "", "f:2: terminal \"4 1\": want 1 to 8 digits\nf:3: terminal \"ABC\": want 1 to 8 digits"},
		{"# none\n\n", "", "", "f: no terminal's number in it"},
		{"", "", "", "f: no terminal's number in it"},
		{"40\n" + strings.Repeat("1", 70_000), "00000040", "", "f:2: bufio.Scanner: token too long"},
		{many, "", "", strings.Join([]string{problemAt(1), problemAt(2), problemAt(3), problemAt(4), problemAt(5), problemAt(6), problemAt(7), problemAt(8), problemAt(9), problemAt(10), "f: and 2 more"}, "\n")},
	} {
		atms, notes, err := readTerminals(strings.NewReader(c.in), "f")
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got := strings.Join(atms, " "); got != c.atms || strings.Join(notes, "\n") != c.notes || text != c.err {
			t.Errorf("%.40q: %s; %q; %s", c.in, got, notes, text)
		}
	}
}

func problemAt(line int) string { return fmt.Sprintf("f:%d: terminal \"x\": want 1 to 8 digits", line) }

// numbers are n terminals, from 1 on.
func numbers(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%08d", i+1))
	}
	return list
}

// Issue 4: 200 terminals asked at once answer within 2 s, on one connection; the table is
// in the order of the file.
func TestCommandMany(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	all := numbers(200)
	h.serve(done, all...)
	in := strings.Join(all, "\n")
	begun := time.Now()
	out, errs, err := h.try(t.Context(), in, "command", "--terminals", "-", "GET_STATUS", "CIM")
	if took := time.Since(begun); err != nil || took > 2*time.Second {
		t.Errorf("%s: %v\n%s", took, err, errs)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 202 || !regexp.MustCompile(`^200 terminals: 200 ok; p50 [\d.]+ m?s, max [\d.]+ m?s$`).MatchString(lines[201]) {
		t.Fatalf("%d lines:\n%s", len(lines), out)
	}
	for i, atm := range all {
		if !strings.HasPrefix(lines[i+1], atm+"  CIM       0  ok ") {
			t.Errorf("line %d: %s", i+1, lines[i+1])
		}
	}
	ids := map[string]bool{}
	for _, m := range h.messages() {
		ids[m.Commands[0].ID] = true
	}
	if len(ids) != 1 || !regexp.MustCompile(`^id \d+ \(vestnik audit --id \d+\)\n$`).MatchString(errs) {
		t.Errorf("ids %v, told %q", ids, errs)
	}
}

// As many are asked at once as --parallel says, and no more.
func TestCommandParallel(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	const parallel = 8
	var mu sync.Mutex
	running, most := 0, 0
	full := make(chan struct{})
	h.serve(func(ctx context.Context, m command.Message) command.Answer {
		mu.Lock()
		running++
		if most = max(most, running); most == parallel && running == parallel {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		select {
		case <-full:
		case <-ctx.Done():
		}
		mu.Lock()
		running--
		mu.Unlock()
		return done(ctx, m)
	}, numbers(32)...)
	out, errs, err := h.try(t.Context(), strings.Join(numbers(32), "\n"), "command", "--terminals", "-", "--parallel", "8", "--timeout", "5s", "GET_DEVICE_INFO")
	mu.Lock()
	defer mu.Unlock()
	if err != nil || most != parallel {
		t.Errorf("%d at once: %v\n%s%s", most, err, out, errs)
	}
}

// mixed is a hall where three terminals answer, each in its way, and two are missing.
func mixed(t *testing.T) (h *hall, file string) {
	h = newHall(t, "")
	h.serve(done, "00000001")
	h.serve(func(_ context.Context, m command.Message) command.Answer {
		return command.Refuse(m.ATM, code.New(code.NoApplication, ""))
	}, "00000002")
	h.serve(func(_ context.Context, m command.Message) command.Answer {
		return answered(m, code.UnknownDevice, "Неизвестное устройство")
	}, "00000003")
	return h, h.write("list.txt", "3\n1 # first\n9\n2\n8\n1\n")
}

var tookForm, sumForm = regexp.MustCompile(` +[\d.]+ m?s\b`), regexp.MustCompile(`(p50|max) [\d.]+ m?s`)

func TestCommandTable(t *testing.T) {
	t.Parallel()
	h, file := mixed(t)
	out, errs := h.wants(false, "command --id 1 --terminals "+file+" GET_STATUS CIM CIM.CashCode2")
	want := `TERMINAL  PARAM          CODE  STATUS        TOOK  DESCRIPTION
00000003  CIM             151  error            #  Неизвестное устройство
00000003  CIM.CashCode2   151  error            #  Неизвестное устройство
00000001  CIM               0  ok               #  Выполнено
00000001  CIM.CashCode2     0  ok               #  Выполнено
00000009  -                 -  no edge          #  no edge with this number is connected
00000002  -               104  error            #  Нет связи с терминальным ПО
00000008  -                 -  no edge          #  no edge with this number is connected
5 terminals: 1 ok, 2 no edge, 1 code 104, 1 code 151; p50 #, max #
`
	got := sumForm.ReplaceAllString(out, "$1 #")
	got = tookForm.ReplaceAllStringFunc(got, func(s string) string { return strings.Repeat(" ", len(s)-1) + "#" })
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	if want := file + ":6: terminal 00000001 stands on line 2 already; it is asked once\nvestnik: GET_STATUS did not succeed at 4 of 5 terminals\n"; errs != "vestnik: "+want {
		t.Error(errs)
	}
}

// With --json there is a line per terminal: the answer and took_ms, or an error.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	h, file := mixed(t)
	out, errs := h.wants(false, "command --json --id 1 --terminals "+file+" GET_STATUS CIM")
	got := map[string]string{}
	for line := range strings.Lines(out) {
		var r struct {
			ATM   string  `json:"atm"`
			Error string  `json:"error"`
			Code  *int    `json:"code"`
			Took  float64 `json:"took_ms"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		got[r.ATM] = r.Error
		if r.Code != nil {
			got[r.ATM] = fmt.Sprint(*r.Code)
			if r.Took <= 0 {
				t.Errorf("no time: %s", line)
			}
		}
	}
	const none = "no edge with this number is connected"
	want := map[string]string{"00000001": "0", "00000002": "104", "00000003": "0", "00000008": none, "00000009": none}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !strings.Contains(errs, "\n5 terminals: 1 ok, 2 no edge, 1 code 104, 1 code 151; p50 ") {
		t.Error(errs)
	}
}

// What acts goes to many with --yes only, to one of a file without.
func TestCommandYes(t *testing.T) {
	t.Parallel()
	h := newHall(t, "")
	h.serve(done, "00000001", "00000002")
	two, one := h.write("two.txt", "1\n2"), h.write("one.txt", "1")
	for _, name := range command.Names {
		line := "command --terminals " + two + " " + name
		if command.NeedsParam(name) {
			line += " CIM"
		}
		before := len(h.messages())
		out, errs := h.wants(!command.Acts(name), line)
		if n := len(h.messages()) - before; command.Acts(name) && (n > 0 || out != "" || !strings.Contains(errs, "--yes sends it")) || !command.Acts(name) && n != 2 {
			t.Errorf("%s: %d sent\n%s%s", name, n, out, errs)
		}
		if out, _ := h.wants(true, line+" --yes"); !strings.Contains(out, "2 terminals: 2 ok") {
			t.Errorf("%s --yes: %s", name, out)
		}
	}
	if out, _ := h.wants(true, "command REBOOT --terminals "+one); !strings.Contains(out, "1 terminal: 1 ok") {
		t.Error(out)
	}
}

// Ctrl-C: no more terminals are asked, and what is known is shown.
func TestCommandInterrupted(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"", "--json"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			h := newHall(t, "")
			ctx, cancel := context.WithCancel(t.Context())
			h.serve(func(ctx context.Context, m command.Message) command.Answer {
				if m.ATM == "00000002" {
					cancel()
					<-ctx.Done()
				}
				return done(ctx, m)
			}, numbers(4)...)
			args := []string{"command", "--terminals", "-", "--parallel", "1", "--yes", "--id", "6", "REBOOT"}
			if form != "" {
				args = append(args, form)
			}
			out, errs, err := h.try(ctx, "1\n2\n3\n4\n", args...)
			if err == nil || !strings.HasSuffix(errs, "REBOOT may have been executed. Sent again with --id 6 within repeat_window (10 min by default) it is not executed twice.\nvestnik: interrupted\n") {
				t.Errorf("%v\n%s", err, errs)
			}
			want := []string{`00000001 .* 0 +ok `, `00000002 .* no answer .* interrupted before an answer came`, `00000003 .* not asked `, `00000004 .* not asked `, `4 terminals: 1 ok, 2 not asked, 1 no answer; `}
			if form != "" {
				want = []string{`"atm":"00000001".*"took_ms"`, `\{"atm":"00000002","error":"interrupted before an answer came"\}`, `\{"atm":"00000003","error":"not asked"\}`, `\{"atm":"00000004","error":"not asked"\}`}
			}
			for _, line := range want {
				if !regexp.MustCompile(line).MatchString(out) {
					t.Errorf("no line %s in\n%s", line, out)
				}
			}
			if n := len(h.messages()); n != 2 {
				t.Errorf("%d asked", n)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	show := func(live bool) string {
		var out bytes.Buffer
		p := newProgress(&out, 200, live)
		p.begun = begun
		p.show(begun)
		for range 119 {
			p.count(reply{})
		}
		p.count(reply{err: errNoAnswer})
		p.count(reply{answer: command.Answer{Head: command.Head{Code: code.NoApplication}}})
		p.show(begun.Add(10 * time.Second))
		p.end()
		return out.String()
	}
	if d := cmp.Diff("answered 0 of 200, 0 failed\nanswered 120 of 200, 2 failed, 12.1/s, about 7 s left\n", show(false)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff("\ranswered 0 of 200, 0 failed\x1b[K\ranswered 120 of 200, 2 failed, 12.1/s, about 7 s left\x1b[K\r\x1b[K", show(true)); d != "" {
		t.Error(d)
	}
}

func TestTookText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{400 * time.Microsecond: "0.4 ms", 12 * time.Millisecond: "12 ms", 1240 * time.Millisecond: "1.2 s", 45 * time.Second: "45.0 s"} {
		if got := tookText(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

// An answer without a code is none: it is not taken for success.
func TestAnswerWithoutCode(t *testing.T) {
	for _, text := range []string{"{}", "null", `{"atm":"00000040"}`, "[]", ""} {
		if answer, err := (&asker{json: true}).read([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, answer)
		}
	}
}
