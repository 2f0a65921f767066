package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"vestnik/internal/audit"
	"vestnik/internal/broker/brokertest"
	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const atm = "00000040"

// A desk is an edge's memory of commands on a real store, before an application that
// counts.
type desk struct {
	t    testing.TB
	js   jetstream.JetStream
	once *audit.Once
	app  *application
	now  clock.Moment
	win  time.Duration
}

func newDesk(t testing.TB) *desk {
	_, js := brokertest.Start(t)
	d := &desk{t: t, js: js, app: &application{}, now: clock.Now(), win: 10 * time.Minute}
	if _, err := audit.Prepare(context.Background(), js, 64<<20, time.Hour); err != nil {
		t.Fatal(err)
	}
	d.restart()
	return d
}

// restart begins another life: what was in memory is gone.
func (d *desk) restart() {
	d.t.Helper()
	j := audit.NewJournal(atm, zerolog.Nop())
	j.Open(context.Background(), d.js)
	d.once = &audit.Once{Next: d.app, Journal: j, Window: d.win, Now: func() clock.Moment { return d.now }, Log: zerolog.Nop()}
	if err := d.once.Recover(context.Background(), d.js); err != nil {
		d.t.Fatal(err)
	}
}

// until waits for a condition.
func (d *desk) until(ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatal("waited in vain")
		}
	}
}

func (d *desk) passes(dur time.Duration) { d.now = d.now.Add(dur) }

// cmd is a command written as "NAME id param…".
func cmd(s string) command.Command {
	f := strings.Fields(s)
	c := command.Command{Name: f[0], ID: f[1]}
	for _, p := range f[2:] {
		c.Params = append(c.Params, command.Param{Value: p})
	}
	return c
}

func message(way string, commands ...string) command.Message {
	m := command.Message{Origin: command.Origin{Way: way}}
	for _, c := range commands {
		m.Commands = append(m.Commands, cmd(c))
	}
	return m
}

func (d *desk) send(way string, commands ...string) command.Answer {
	return d.once.Execute(context.Background(), message(way, commands...))
}

// want sends a message and compares the codes of the answer and how many commands the
// application has executed.
func (d *desk) want(codes string, executed int, way string, commands ...string) command.Answer {
	d.t.Helper()
	before := d.app.executed()
	a := d.send(way, commands...)
	if got, n := show(a), d.app.executed()-before; got != codes || n != executed {
		d.t.Errorf("%s %q: %s, %d executed; want %s, %d", way, commands, got, n, codes, executed)
	}
	return a
}

func show(a command.Answer) string {
	s := strconv.Itoa(int(a.Code))
	for _, r := range a.Results {
		s += fmt.Sprintf(" %s=%d", r.ID, r.Code)
	}
	return s
}

// records are those of AUDIT, as "kind names codes".
func (d *desk) records() (list []audit.Record) {
	d.t.Helper()
	err := streams.Scan(context.Background(), d.js, streams.Audit, streams.From{Subjects: []string{streams.AuditCmd(atm)}}, func(m jetstream.Msg) error {
		var r audit.Record
		list = append(list, r)
		return json.Unmarshal(m.Data(), &list[len(list)-1])
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

func (d *desk) kinds() string {
	var list []string
	for _, r := range d.records() {
		list = append(list, r.Kind)
	}
	return strings.Join(list, " ")
}

// application executes what it is asked, each time with another text.
type application struct {
	mu    sync.Mutex
	n     int
	names []string
	head  command.Head // of its answers; the zero head = done
	hold  chan struct{}
	holds string // name of the commands that are held, "" = all
}

func (a *application) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *application) executed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

func (a *application) Execute(ctx context.Context, m command.Message) command.Answer {
	a.mu.Lock()
	out := command.Answer{Head: a.head}
	hold := a.hold
	if a.head.Code == code.OK {
		out.Head = command.Head{Code: 0, Status: "ok", Source: "ProATM", Description: "Команды обработаны"}
	}
	for i, c := range m.Commands {
		if a.head.Code != code.NoApplication {
			a.n++
			a.names = append(a.names, c.Name+" "+c.ID)
		}
		for range c.Results() {
			out.Results = append(out.Results, command.Result{Command: i, ID: c.ID, Name: c.Name, Head: out.Head,
				XML: fmt.Appendf(nil, "<command_result code='0' id='%s' n='%d'/>", c.ID, a.n)})
		}
	}
	if a.holds != "" && a.holds != m.Commands[0].Name {
		hold = nil
	}
	a.mu.Unlock()
	if out.Code != code.OK {
		out.Results = nil
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return command.Refuse(atm, code.New(code.OutcomeUnknown, ""))
		}
	}
	return out
}

// SPEC 7: an acting command that repeats id, name, parameters and way in of the last
// acting command is not executed again: its recorded result is returned.
func TestRepeats(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.want("0 1=0", 1, "frame", "REBOOT 1")
	again := d.want("0 1=0", 0, "frame", "REBOOT 1")
	if string(first.Results[0].XML) != string(again.Results[0].XML) || string(first.Results[0].XML) == "" {
		t.Errorf("%s, then %s", first.Results[0].XML, again.Results[0].XML)
	}
	d.want("0 1=0", 1, "nats", "REBOOT 1") // another way in
	d.want("0 2=0", 1, "nats", "REBOOT 2") // another id
	d.want("0 2=0", 1, "nats", "RESET 2 CIM")
	d.want("0 2=0", 1, "nats", "RESET 2 CDM") // another parameter
	d.want("0 2=0", 0, "nats", "RESET 2 CDM")
	d.want("0 1=0 1=0", 1, "nats", "GET_STATUS 1 CIM CDM") // GET commands are always executed
	d.want("0 1=0 1=0", 1, "nats", "GET_STATUS 1 CIM CDM")
	d.want("0 2=0", 0, "nats", "RESET 2 CDM") // and do not make the last acting one another
	for range 2 {                             // not the last: executed
		d.want("0 1=0", 1, "frame", "GO_IN_SERVICE 1")
		d.want("0 1=0", 1, "frame", "GO_OUT_OF_SERVICE 1")
	}
	if n := strings.Count(d.kinds(), audit.Repeated); n != 3 {
		t.Errorf("%d repeats recorded: %s", n, d.kinds())
	}
}

func TestRepeatWindow(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("0 1=0", 1, "frame", "REBOOT 1")
	d.passes(d.win - time.Second)
	d.want("0 1=0", 0, "frame", "REBOOT 1")
	d.passes(time.Second)
	d.want("0 1=0", 1, "frame", "REBOOT 1") // the window begins with the execution
	d.win = 0
	d.restart()
	d.want("0 1=0", 1, "frame", "REBOOT 1") // 0 = off
	d.want("0 1=0 1=0", 2, "frame", "REBOOT 1", "REBOOT 1")
}

// A message of several acting commands that comes again is a repeat as a whole, and a
// command twice in one message is executed once.
func TestMessageRepeats(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("0 1=0 9=0 2=0", 3, "frame", "GO_OUT_OF_SERVICE 1", "GET_STATUS 9 CIM", "REBOOT 2")
	d.want("0 1=0 9=0 2=0", 1, "frame", "GO_OUT_OF_SERVICE 1", "GET_STATUS 9 CIM", "REBOOT 2")
	d.restart()
	d.want("0 1=0 2=0", 0, "frame", "GO_OUT_OF_SERVICE 1", "REBOOT 2")
	d.want("0 2=0", 0, "frame", "REBOOT 2")
	d.want("0 3=0 3=0", 1, "frame", "RESET 3 CIM", "RESET 3 CIM")
	d.want("0 3=0 3=0", 0, "frame", "RESET 3 CIM", "RESET 3 CIM")
	d.want("0 3=0 4=0", 1, "frame", "RESET 3 CIM", "RESET 4 CIM")
}

// What the application has not seen is executed when it comes again; what it may have
// executed is not.
func TestFailures(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.app.head = command.Own(code.NoApplication, "")
	d.want("104", 0, "frame", "REBOOT 1")
	d.app.head = command.Head{}
	d.want("0 1=0", 1, "frame", "REBOOT 1")
	for _, c := range []code.Code{code.ApplicationSlow, code.BadAnswer} {
		id := strconv.Itoa(int(c))
		d.app.head = command.Own(c, "")
		d.want(id, 1, "frame", "REBOOT "+id)
		d.app.head = command.Head{}
		d.want(id, 0, "frame", "REBOOT "+id)
		d.restart()
		d.want(id, 0, "frame", "REBOOT "+id)
	}
}

// The memory outlives a restart, also one with a clock that was set back.
func TestRestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	first := d.want("0 1=0", 1, "proxima", "REBOOT 1")
	d.restart()
	again := d.want("0 1=0", 0, "proxima", "REBOOT 1")
	if string(first.Results[0].XML) != string(again.Results[0].XML) || again.Results[0].Source != "ProATM" {
		t.Errorf("%+v", again.Results[0])
	}
	d.now.Wall = d.now.Wall.Add(-48 * time.Hour)
	d.restart()
	d.want("0 1=0", 0, "proxima", "REBOOT 1")
	d.now.Wall = d.now.Wall.Add(48*time.Hour + d.win)
	d.restart()
	d.want("0 1=0", 1, "proxima", "REBOOT 1")
}

// SPEC 7: a command found without a result at start is not sent again if it acts (109);
// GET commands are asked anew.
func TestFoundWithoutResult(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.app.hold = make(chan struct{})
	old := d.once
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		old.Execute(context.Background(), message("frame", "GET_STATUS 7 CIM", "REBOOT 8", "GET_DEVICE_INFO 9"))
	}()
	d.until(func() bool { return d.app.executed() >= 3 }) // until it is with the application
	old.Journal.Close()                                   // a crash: it writes no more
	close(d.app.hold)
	<-gone
	d.app.hold = nil

	d.restart()
	if k := d.kinds(); k != "begin end" {
		t.Fatalf("after the start: %s", k)
	}
	d.want("0 8=109", 0, "frame", "REBOOT 8")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.once.Run(ctx) }()
	d.until(func() bool { return len(d.records()) >= 4 }) // until the answer is recorded
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(d.app.names, ", "); got != "GET_STATUS 7, REBOOT 8, GET_DEVICE_INFO 9, GET_STATUS 7, GET_DEVICE_INFO 9" {
		t.Error(got)
	}
	all := d.records()
	last := all[len(all)-1]
	if last.Kind != audit.End || last.Message != all[0].Message || len(last.Answer.Results) != 2 || last.Answer.Results[0].Command != 0 || last.Answer.Results[1].Command != 2 {
		t.Errorf("%+v", last)
	}
	n := d.app.executed()
	d.restart() // nothing is found any more
	go func() { done <- d.once.Run(ctx) }()
	<-done
	if d.app.executed() != n || len(d.records()) != len(all) {
		t.Errorf("%d executed, %s", d.app.executed()-n, d.kinds())
	}
}

// Who repeats while the command runs waits for its result.
func TestRepeatWhileItRuns(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.app.hold = make(chan struct{})
	answers := make(chan command.Answer, 5)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { answers <- d.send("nats", "REBOOT 1") })
	}
	d.until(func() bool { return d.app.executed() != 0 }) // until one is with the application
	if len(answers) > 0 {
		t.Error("answered before the command was done")
	}
	close(d.app.hold)
	wg.Wait()
	for range 5 {
		if a := <-answers; show(a) != "0 1=0" || string(a.Results[0].XML) != "<command_result code='0' id='1' n='1'/>" {
			t.Errorf("%s: %s", show(a), a.Results[0].XML)
		}
	}
	if d.app.executed() != 1 {
		t.Errorf("executed %d times", d.app.executed())
	}
}

// Without the journal nothing is executed, and a result that cannot be written is
// written when the store is open again.
func TestStoreIsClosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.once.Journal.Close()
	d.want("6", 0, "frame", "REBOOT 1")
	d.want("6", 0, "frame", "GET_STATUS 2 CIM")
	d.once.Journal.Open(t.Context(), d.js)
	d.want("0 1=0", 1, "frame", "REBOOT 1")

	d.app.hold = make(chan struct{})
	answer := make(chan command.Answer)
	go func() { answer <- d.send("frame", "REBOOT 2") }()
	d.until(func() bool { return d.app.executed() >= 2 }) // until it is with the application
	d.once.Journal.Close()
	close(d.app.hold)
	if a := <-answer; show(a) != "0 2=0" {
		t.Error(show(a))
	}
	d.app.hold = nil
	if k := d.kinds(); k != "begin end begin" {
		t.Error(k)
	}
	d.once.Journal.Open(t.Context(), d.js)
	if k := d.kinds(); k != "begin end begin end" {
		t.Error(k)
	}
}

// Who does not know whether a command was begun is told, whatever came in between.
func TestResume(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	resume := func(want string, executed int, c string) {
		t.Helper()
		m := message("proxima", c)
		m.Resume = d.now.Wall.Add(-24 * time.Hour)
		before := d.app.executed()
		a := d.once.Execute(t.Context(), m)
		if got, n := show(a), d.app.executed()-before; got != want || n != executed {
			t.Errorf("%s: %s, %d executed", c, got, n)
		}
	}
	d.want("0 1=0", 1, "proxima", "REBOOT 1")
	d.want("0 2=0", 1, "frame", "RESET 2 CIM")
	resume("0 1=0", 0, "REBOOT 1")
	d.restart()
	resume("0 1=0", 0, "REBOOT 1")
	d.passes(5 * time.Hour) // long after the window
	d.restart()
	resume("0 1=0", 0, "REBOOT 1")
	resume("0 2=0", 1, "RESET 2 CIM") // by another way in: this one was not begun
	resume("0 5=0", 1, "REBOOT 5")
	d.app.head = command.Own(code.NoApplication, "")
	resume("104", 0, "REBOOT 6")
	d.app.head = command.Head{}
	resume("0 6=0", 1, "REBOOT 6") // was not sent
	resume("0 7=0", 1, "GET_STATUS 7 CIM")
	resume("0 7=0", 1, "GET_STATUS 7 CIM")
}

// A start reads from the mark on, and finds all the same.
func TestMark(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want("0 1=0", 1, "frame", "REBOOT 1")
	for i := range 1200 {
		d.send("nats", fmt.Sprintf("GET_STATUS %d CIM", i))
	}
	marks := d.marks()
	if len(marks) != 3 || marks[0] != 1 || marks[2] < 1900 {
		t.Fatalf("marks %v", marks)
	}
	d.want("0 1=0", 0, "frame", "REBOOT 1")
	d.restart()
	d.want("0 1=0", 0, "frame", "REBOOT 1") // from the mark itself
	d.passes(d.win)
	d.restart()
	d.want("0 1=0", 1, "frame", "REBOOT 1")
}

// What asks, and what is refused, pushes old records out of AUDIT, and nothing out of the
// memory: not what was done, nor what runs.
func TestWashedOut(t *testing.T) {
	t.Parallel()
	for name, flood := range map[string]func(d *desk){
		"by questions": func(d *desk) {
			for i := range 150 {
				d.send("nats", fmt.Sprintf("GET_STATUS %d %s", i, strings.Repeat("x", 40<<10)))
			}
		},
		"by refusals": func(d *desk) {
			m := message("nats", "FORMAT 1 "+strings.Repeat("x", 40<<10))
			for range 150 {
				d.once.Refused(context.Background(), m, command.Answer{Head: command.Done(), Results: m.Commands[0].Fail(code.New(code.UnknownCommand, ""))})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.limit(2 << 20)
			d.restart()
			done := d.want("0 1=0", 1, "frame", "RESET 1 CIM")
			d.want("0 2=0 3=0", 2, "frame", "GET_STATUS 2 CIM", "GO_IN_SERVICE 3")
			held := make(chan struct{})
			d.app.set(func() { d.app.hold, d.app.holds = held, "REBOOT" })
			old := d.once
			gone := make(chan struct{})
			go func() { defer close(gone); old.Execute(context.Background(), message("frame", "REBOOT 4")) }()
			d.until(func() bool { return d.app.executed() == 4 })
			flood(d)
			if first := d.first(); first < 10 {
				t.Fatalf("AUDIT begins at %d: nothing was pushed out", first)
			}
			old.Journal.Close() // a crash
			close(held)
			<-gone
			d.restart()
			d.want("0 4=109", 0, "frame", "REBOOT 4")
			again := d.want("0 3=0", 1, "nats", "GO_IN_SERVICE 3") // another way in
			_, _ = done, again
			m := message("frame", "RESET 1 CIM")
			m.Resume = d.now.Wall.Add(-time.Hour)
			before := d.app.executed()
			if a := d.once.Execute(t.Context(), m); show(a) != "0 1=0" || d.app.executed() != before || string(a.Results[0].XML) != string(done.Results[0].XML) {
				t.Errorf("%s, %d executed", show(a), d.app.executed()-before)
			}
		})
	}
}

// limit changes AUDIT's.
func (d *desk) limit(bytes int64) {
	d.t.Helper()
	s, err := d.js.Stream(context.Background(), streams.Audit)
	if err != nil {
		d.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = bytes
	if _, err := d.js.UpdateStream(context.Background(), cfg); err != nil {
		d.t.Fatal(err)
	}
}

// first is the first record that AUDIT still has.
func (d *desk) first() uint64 {
	d.t.Helper()
	s, err := d.js.Stream(context.Background(), streams.Audit)
	if err != nil {
		d.t.Fatal(err)
	}
	return s.CachedInfo().State.FirstSeq
}

func (d *desk) marks() (list []uint64) {
	err := streams.Scan(context.Background(), d.js, streams.Audit, streams.From{Subjects: []string{streams.AuditMark(atm)}}, func(m jetstream.Msg) error {
		var k audit.Mark
		err := json.Unmarshal(m.Data(), &k)
		list = append(list, k.From)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// Messages at random, with restarts, against the rule in its simplest form.
func TestOnceAtRandom(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	rapid.Check(t, func(rt *rapid.T) {
		d.passes(2 * d.win) // what was before is forgotten
		type known struct {
			key string
			at  time.Duration
		}
		var last known
		name := rapid.SampledFrom([]string{"REBOOT", "RESET", "GO_IN_SERVICE", "GET_STATUS"})
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				d.restart()
			case 1:
				d.passes(time.Duration(rapid.IntRange(0, 8).Draw(rt, "minutes")) * time.Minute)
			default:
				n, way, id := name.Draw(rt, "name"), rapid.SampledFrom([]string{"frame", "nats"}).Draw(rt, "way"), rapid.IntRange(1, 2).Draw(rt, "id")
				key := fmt.Sprint(way, n, id)
				want := 1
				if command.Acts(n) {
					if last.key == key && d.now.Run-last.at < d.win {
						want = 0
					} else {
						last = known{key, d.now.Run}
					}
				}
				before := d.app.executed()
				a := d.send(way, fmt.Sprintf("%s %d x", n, id))
				if got := d.app.executed() - before; got != want || len(a.Results) != 1 || a.Results[0].ID != strconv.Itoa(id) {
					rt.Fatalf("%s: %s, executed %d times, want %d", key, show(a), got, want)
				}
			}
		}
	})
}

// Commands of strangers do not push the record of others out.
func TestRefusedAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	m := message("frame", "REBOOT 1 "+strings.Repeat("x", 10<<10))
	m.Forbidden = code.New(code.NotPermitted, "")
	for range 300 {
		d.once.Journal.Refused(t.Context(), m, command.Answer{Head: command.Done(), Results: m.Commands[0].Fail(m.Forbidden)})
	}
	if n := len(d.records()); n < 40 || n > 80 { // 1 MB of them, and 8 KB a second
		t.Errorf("%d of 300 recorded", n)
	}
	m.Forbidden = nil
	d.once.Journal.Refused(t.Context(), m, command.Refuse(atm, code.New(code.OtherTerminal, "")))
	all := d.records()
	if r := all[len(all)-1]; r.Kind != audit.Refused || r.Answer.Code != code.OtherTerminal || r.Commands[0].Name != "REBOOT" {
		t.Errorf("%+v", r)
	}
}

// The edge stops while commands run: what acts is unknown, what asks is to be sent again,
// and is asked anew at the next start.
func TestStops(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, c := range []struct{ commands, want, kinds string }{
		{"GET_STATUS 1 CIM", "6", "begin"},
		{"GET_STATUS 2 CIM, REBOOT 3", "0 2=109 3=109", "begin begin end"},
	} {
		d.app.set(func() { d.app.hold = make(chan struct{}) })
		before := d.app.executed()
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan command.Answer)
		go func() { answer <- d.once.Execute(ctx, message("frame", strings.Split(c.commands, ", ")...)) }()
		d.until(func() bool { return d.app.executed() > before })
		cancel()
		if got := show(<-answer); got != c.want || d.kinds() != c.kinds {
			t.Errorf("%s: %s, %s", c.commands, got, d.kinds())
		}
	}
	d.app.set(func() { d.app.hold = nil })
	d.restart()
	d.want("0 3=109", 0, "frame", "REBOOT 3")
	before := d.app.executed()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	refused := code.New(code.Paused, "")
	var mu sync.Mutex
	d.once.Refuse = func() *code.Error { mu.Lock(); defer mu.Unlock(); return refused }
	go func() { done <- d.once.Run(ctx) }()
	time.Sleep(50 * time.Millisecond) // SPEC 4: nothing is asked while it is paused
	if n := d.app.executed() - before; n != 0 {
		t.Errorf("%d asked anew in a pause", n)
	}
	mu.Lock()
	refused = nil
	mu.Unlock()
	d.until(func() bool { return d.app.executed() == before+2 && strings.Count(d.kinds(), "end") == 3 })
	cancel()
	<-done
}

// What is sent again while it runs is the same order, whatever came in between.
func TestRepeatWhileItRunsIsNotTheLast(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	held := make(chan struct{})
	d.app.set(func() { d.app.hold, d.app.holds = held, "REBOOT" })
	answers := make(chan command.Answer, 2)
	go func() { answers <- d.send("nats", "REBOOT 1") }()
	d.until(func() bool { return d.app.executed() == 1 })
	d.want("0 2=0", 1, "nats", "RESET 2 CIM")
	go func() { answers <- d.send("nats", "REBOOT 1") }()
	d.want("0 3=0", 1, "nats", "RESET 3 CIM")
	close(held)
	for range 2 {
		if a := <-answers; show(a) != "0 1=0" {
			t.Error(show(a))
		}
	}
	if n := d.app.executed(); n != 3 {
		t.Errorf("%d executed", n)
	}
}
