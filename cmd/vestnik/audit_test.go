package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/audit"
	"vestnik/internal/broker"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// archive is a hall with a record of commands that the test writes.
type archive struct {
	*hall
	js jetstream.JetStream
}

func newArchive(t testing.TB) *archive {
	t.Helper()
	a := &archive{hall: newHall(t, "jetstream {}")}
	nc, err := a.server.Connect("edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if a.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Prepare(t.Context(), a.js, 64<<20, 0); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *archive) put(atm string, records ...string) {
	a.t.Helper()
	for _, r := range records {
		if _, err := a.js.Publish(context.Background(), streams.AuditCmd(atm), []byte(r)); err != nil {
			a.t.Fatal(err)
		}
	}
}

// The records of the brief's shapes: one of each kind, an end in two parts, an end
// without its begin, and what nobody of us wrote.
var records = []string{
	`{"kind":"end","message":"m0","time":"2026-11-28T09:00:00Z","answer":{"atm":"00000040","code":0,"status":"ok","source":"agent","description":"d","results":[{"command":0,"id":"0","name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"d"}]}}`,
	`{"kind":"begin","message":"m1","time":"2026-11-28T10:00:00.5Z","origin":{"way":"proxima","who":"ПроКСИМА","remote":"10.0.0.1"},"signature":"JSON","commands":[{"id":"1","name":"GET_STATUS","params":[{"value":"CIM"},{"value":"CDM"}]},{"id":"2","name":"REBOOT"}]}`,
	`not JSON`,
	`{"kind":"refused","message":"m2","time":"2026-11-28T10:01:00Z","origin":{"way":"nats","who":"ivan@ws"},"signature":"","commands":[{"id":"3","name":"FORMAT"}],"answer":{"atm":"00000040","code":0,"status":"ok","source":"agent","description":"d","results":[{"command":0,"id":"3","name":"FORMAT","code":101,"status":"error","source":"agent","description":"Неизвестная команда «FORMAT»"}]}}`,
	`{"kind":"end","message":"m1","time":"2026-11-28T10:02:00Z","answer":{"atm":"00000040","code":0,"status":"ok","source":"agent","description":"d","results":[{"command":1,"id":"2","name":"REBOOT","code":109,"status":"error","source":"agent","description":"Результат неизвестен"}]}}`,
	`{"kind":"end","message":"m1","time":"2026-11-28T10:02:01Z","took_ms":12.34,"answer":{"atm":"00000040","code":0,"status":"ok","source":"ProATM","description":"d","results":[{"command":0,"id":"1","name":"GET_STATUS","param":"CIM","code":0,"status":"ok","source":"ProATM","description":"Статус","xml":"<command_result/>"},{"command":0,"id":"1","name":"GET_STATUS","param":"CDM","code":151,"status":"error","source":"ProATM","description":"Неизвестное устройство"}]}}`,
	`{"kind":"begin","message":"m3","time":"2026-11-28T10:03:00Z","origin":{"way":"frame","remote":"127.0.0.1:5000"},"commands":[{"id":"4","name":"GET_DEVICE_INFO"}]}`,
	`{"kind":"repeated","message":"m4","time":"2026-11-28T10:04:00Z","of":"m9","origin":{"way":"vestnik","who":"root@hub"},"commands":[{"id":"2","name":"REBOOT"}],"answer":{"atm":"00000040","code":0,"status":"ok","source":"ProATM","description":"d","results":[{"command":0,"id":"2","name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"Перезагрузка"}]}}`,
	`{"kind":"begin","message":"m5","time":"2026-11-28T10:05:00Z","origin":{"way":"nats"},"commands":[{"id":"5","name":"GET_DEVICE_INFO"},{"id":"6","name":"RESET","params":[{"value":"CDM"}]}]}`,
	`{"kind":"end","message":"m5","time":"2026-11-28T10:05:30Z","took_ms":30001,"answer":{"atm":"00000041","code":105,"status":"error","source":"agent","description":"Не ответило"}}`,
}

func TestAuditTable(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	if out, _ := a.wants(true, "audit"); out != "no commands\n" {
		t.Errorf("empty: %q", out)
	}
	a.put("40", records[:8]...)
	a.put("41", records[8:]...)
	local := func(s string) string {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.Local().Format(time.DateTime)
	}
	want := `TIME                 TERMINAL  WAY      WHO               COMMAND                     ID          CODE     TOOK  RESULT
` + local("2026-11-28T10:00:00Z") + `  00000040  proxima  ПроКСИМА          GET_STATUS CIM CDM          1            151    12 ms  Неизвестное устройство
` + local("2026-11-28T10:00:00Z") + `  00000040  proxima  ПроКСИМА          REBOOT                      2            109        -  Результат неизвестен
` + local("2026-11-28T10:01:00Z") + `  00000040  nats     ivan@ws           FORMAT                      3            101        -  refused: Неизвестная команда «FORMAT»
` + local("2026-11-28T10:03:00Z") + `  00000040  frame    127.0.0.1:5000    GET_DEVICE_INFO             4              -        -  no result recorded
` + local("2026-11-28T10:04:00Z") + `  00000040  vestnik  root@hub          REBOOT                      2              0        -  repeat of m9: Перезагрузка
` + local("2026-11-28T10:05:00Z") + `  00000041  nats     -                 GET_DEVICE_INFO             5            105   30.0 s  Не ответило
` + local("2026-11-28T10:05:00Z") + `  00000041  nats     -                 RESET CDM                   6            105   30.0 s  Не ответило
7 commands: 1 ok, 5 failed, 1 without a result
`
	out, _ := a.wants(true, "audit")
	if d := cmp.Diff(want, out); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	if strings.Contains(out, "record begins") {
		t.Errorf("nothing has made room:\n%s", out)
	}
	defer func() { // the last step: the oldest make room
		s, err := a.js.Stream(t.Context(), streams.Audit)
		if err == nil {
			err = s.Purge(t.Context(), jetstream.WithPurgeSequence(3))
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := a.wants(true, "audit"); !strings.Contains(out, "The record begins at ") {
			t.Errorf("washed out:\n%s", out)
		}
	}()
	if out, _ = a.wants(true, "audit --limit 2"); !strings.HasSuffix(out, "… only the newest 2 (--limit 0 shows all)\n2 commands: 2 failed\n") || strings.Count(out, "\n") != 5 {
		t.Errorf("limited:\n%s", out)
	}
}

// Each flag chooses the ids of commands.
func TestAuditChooses(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.put("40", records[:8]...)
	a.put("41", records[8:]...)
	for args, want := range map[string]string{
		"":                               "1 2 3 4 2 5 6",
		"--terminal 40":                  "1 2 3 4 2",
		"--terminal 00000041":            "5 6",
		"--terminal 42":                  "",
		"--way proxima":                  "1 2",
		"--name REBOOT":                  "2 2",
		"--code 109":                     "2",
		"--code 0":                       "1 2", // GET_STATUS CIM, and the repeat
		"--failed":                       "1 2 3 4 5 6",
		"--id 2 --way vestnik":           "2",
		"--limit 3":                      "2 5 6",
		"--limit 1 --name FORMAT":        "3",
		"--since 2026-11-28T10:03:00Z":   "4 2 5 6",
		"--until 2026-11-28T10:03:00Z":   "1 2 3",
		"--since 2026-11-28T10:00:00.6Z": "3 4 2 5 6",
		"--since 2026-11-30":             "",
		"--until 2026-11-25":             "",
		"--since 100000d --until 2099-01-01 --limit 0": "1 2 3 4 2 5 6",
	} {
		out, _ := a.wants(true, strings.TrimSpace("audit --json "+args))
		if got := strings.Join(ids(t, out), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func ids(t testing.TB, lines string) (list []string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var row audit.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		list = append(list, row.Command.ID)
	}
	return list
}

// docs/commands.md: the line of a command.
func TestAuditJSON(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.put("40", records...)
	for id, want := range map[string]string{
		"1": `{"time":"2026-11-28T10:00:00.5Z","terminal":"00000040","message":"m1","way":"proxima","who":"ПроКСИМА","remote":"10.0.0.1","command":{"id":"1","name":"GET_STATUS","params":[{"value":"CIM"},{"value":"CDM"}]},"state":"done","code":151,"status":"error","source":"ProATM","description":"Неизвестное устройство","took_ms":12.34,"results":[{"command":0,"id":"1","name":"GET_STATUS","param":"CIM","code":0,"status":"ok","source":"ProATM","description":"Статус","xml":"<command_result/>"},{"command":0,"id":"1","name":"GET_STATUS","param":"CDM","code":151,"status":"error","source":"ProATM","description":"Неизвестное устройство"}]}`,
		"4": `{"time":"2026-11-28T10:03:00Z","terminal":"00000040","message":"m3","way":"frame","remote":"127.0.0.1:5000","command":{"id":"4","name":"GET_DEVICE_INFO"},"state":"open"}`,
		"6": `{"time":"2026-11-28T10:05:00Z","terminal":"00000040","message":"m5","way":"nats","command":{"id":"6","name":"RESET","params":[{"value":"CDM"}]},"state":"done","code":105,"status":"error","source":"agent","description":"Не ответило","took_ms":30001}`,
	} {
		out, errs := a.wants(true, "audit --json --id "+id)
		if d := cmp.Diff(want+"\n", out); d != "" || errs != "" {
			t.Errorf("%s: %s%s", id, d, errs)
		}
	}
	if out, _ := a.wants(true, "audit --json --way vestnik"); !strings.Contains(out, `"state":"repeated","of":"m9","code":0,`) {
		t.Error(out)
	}
}

// The newest are found in a long record, whichever part they stand in.
func TestAuditReadsBackwards(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	const n = 3000
	begun := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		name := "GET_DEVICE_INFO"
		if i == 7 || i == 1500 {
			name = "REBOOT"
		}
		record := fmt.Sprintf(`{"kind":"begin","message":"m%d","time":"%s","origin":{"way":"nats"},"commands":[{"id":"%d","name":"%s"}]}`, i, begun.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i, name)
		if _, err := a.js.PublishAsync(streams.AuditCmd("40"), []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	<-a.js.PublishAsyncComplete()
	for args, want := range map[string]string{
		"--limit 3":                    "2997 2998 2999",
		"--limit 1 --name REBOOT":      "1500",
		"--limit 2 --name REBOOT":      "7 1500",
		"--limit 9 --name REBOOT":      "7 1500",
		"--limit 2 --id 3":             "3",
		"--until 2026-11-01T00:00:02Z": "0 1",
	} {
		out, _ := a.wants(true, "audit --json "+args)
		if got := strings.Join(ids(t, out), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	if out, _ := a.wants(true, "audit --limit 3"); !strings.Contains(out, "… only the newest 3 (--limit 0 shows all)\n3 commands: 3 without a result\n") {
		t.Error(out)
	}
}

// --follow shows what is there and what comes: a command when its result is recorded.
// Its end is the person's wish.
func TestAuditFollow(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"--json", "--limit=0"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.put("40", records[1], records[4], records[5], records[6], records[3]) // 4 is open
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out := make(lineWriter, 100)
			ended := make(chan error, 1)
			go func() {
				ended <- run(ctx, []string{"audit", "--follow", form, "--server", a.server.ClientURL()}, nil, out, out)
			}()
			next := func(want string) {
				t.Helper()
				select {
				case line := <-out:
					if !regexp.MustCompile(want).MatchString(line) {
						t.Errorf("line %s, want %s", line, want)
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("no line %s", want)
				}
			}
			wants := []string{`"id":"1"`, `"id":"2"`, `"id":"4".*"open"`, `"id":"3"`, `"id":"2".*"repeated"`, `"id":"4".*"done"`}
			if form != "--json" {
				next("^TIME ")
				wants = []string{` 1  `, ` 2  `, ` 4 .*no result`, ` 3  `, ` 2 .*repeat of m9`, ` 4  .* 0 .* Готово`}
			}
			for _, want := range wants[:4] {
				next(want)
			}
			a.put("40", records[7], `{"kind":"begin","message":"m6","time":"2026-11-28T10:06:00Z","origin":{"way":"nats"},"commands":[{"id":"7","name":"REBOOT"}]}`,
				`{"kind":"end","message":"m3","time":"2026-11-28T10:07:00Z","took_ms":1,"answer":{"atm":"00000040","code":0,"status":"ok","source":"agent","description":"d","results":[{"command":0,"id":"4","name":"GET_DEVICE_INFO","code":0,"status":"ok","source":"ProATM","description":"Готово"}]}}`)
			next(wants[4])
			next(wants[5])
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAuditRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--way post":            `unknown way "post", known are frame, nats, proxima, vestnik`,
		"--terminal 4a":         `terminal "4a": want 1 to 8 digits`,
		"--since tomorrow":      `--since "tomorrow": want a span before now such as 24h or 7d, today, yesterday, a day such as 2026-11-28, or a time such as 2026-11-28T10:00:00Z`,
		"--until 2026-13-01":    `--until "2026-13-01": want a span before now such as 24h or 7d, today, yesterday, a day such as 2026-11-28, or a time such as 2026-11-28T10:00:00Z`,
		"--limit -1":            "limit -1: want 0 or more",
		"--follow --until 1h":   "--follow has no end: leave --until out",
		"--since 1h --until 2h": "--since 1h is not before --until 2h",
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), strings.Fields("audit "+args+" --server nats://127.0.0.1:1"), nil, &out, &errs)
		if want := "vestnik: " + want + "\nRun \"vestnik audit --help\" for help.\n"; err == nil || errs.String() != want {
			t.Errorf("%s: %v %s", args, err, cmp.Diff(want, errs.String()))
		}
	}
	h := newHall(t, "jetstream {}")
	if _, errs := h.wants(false, "audit"); !strings.HasPrefix(errs, "vestnik: no record of commands (stream AUDIT) at "+h.server.ClientURL()+": has an edge run there") {
		t.Error(errs)
	}
}

func TestPointInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.Local)
	for _, c := range []struct {
		s    string
		end  bool
		want time.Time
	}{
		{"", false, time.Time{}},
		{"24h", false, now.Add(-24 * time.Hour)},
		{"7d", true, now.Add(-7 * 24 * time.Hour)},
		{"2026-11-28", false, time.Date(2026, 11, 28, 0, 0, 0, 0, time.Local)},
		{"2026-11-30", true, time.Date(2026, 12, 1, 0, 0, 0, 0, time.Local)},
		{"2026-11-28T10:00:00+03:00", true, time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC)},
	} {
		if got, err := pointInTime("--since", c.s, now, c.end); err != nil || !got.Equal(c.want) {
			t.Errorf("%q: %s, %v; want %s", c.s, got, err, c.want)
		}
	}
}

// A real edge before the simulated application: what vestnik command asks is what vestnik
// audit shows, a repeat included.
func TestCommandThroughTheEdge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	app := simulate.NewApplication(simulate.ApplicationOptions{ATM: "40"})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- app.Serve(ctx, ln) }()
	t.Cleanup(func() { cancel(); <-served })
	conf, err := os.ReadFile(s.file("vestnik.conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("vestnik.conf", strings.Replace(string(conf), "terminal {", `terminal { application: "`+ln.Addr().String()+`",`, 1))
	s.start()
	if out := s.run("command", "40", "GET_STATUS", "CIM", "--id", "7"); !strings.Contains(out, "<command_result ") || !strings.Contains(out, "<status ") {
		t.Error(out)
	}
	for range 2 {
		s.run("command", "40", "RESET", "CIM", "--id", "8")
	}
	if n := app.Counts().Commands[command.Reset]; n != 1 {
		t.Errorf("RESET executed %d times", n)
	}
	var rows []audit.Row
	s.until("the record is whole", func() bool {
		rows = nil
		for line := range strings.Lines(s.run("audit", "--json")) {
			rows = append(rows, audit.Row{})
			if err := json.Unmarshal([]byte(line), &rows[len(rows)-1]); err != nil {
				t.Fatal(err)
			}
		}
		return len(rows) == 3 && rows[0].State == audit.StateDone && rows[1].State == audit.StateDone
	})
	for i, r := range rows {
		if r.Way != command.WayVestnik || r.Who != operator() || r.Terminal != "00000040" || r.Head == nil || r.Code != code.OK || i < 2 && r.TookMS <= 0 {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	if last := rows[2]; last.State != audit.StateRepeated || last.Of != rows[1].Message || last.Command.ID != "8" {
		t.Errorf("the repeat: %+v", last)
	}
	if table := s.run("audit", "--id", "8"); !strings.Contains(table, "repeat of "+rows[1].Message) || !strings.HasSuffix(table, "\n2 commands: 2 ok\n") {
		t.Error(table)
	}
}

// --follow outlives a restart of the edge: what was recorded is told once, and a command
// that began before is settled after.
func TestAuditFollowOverRestart(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.put("40", records[1], records[3])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, errs := make(lineWriter, 100), make(lineWriter, 100)
	ended := make(chan error, 1)
	at := a.server.ClientURL()
	go func() { ended <- run(ctx, []string{"audit", "--follow", "--json", "--server", at}, nil, out, errs) }()
	next := func(from lineWriter, want string) {
		t.Helper()
		select {
		case line := <-from:
			if !strings.Contains(line, want) {
				t.Errorf("line %s, want %s", line, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no line %s", want)
		}
	}
	for _, want := range []string{`"id":"1"`, `"id":"2"`, `"id":"3"`} {
		next(out, want)
	}
	a.put("40", records[7]) // while it follows
	next(out, `"repeated"`)
	a.server.Close()
	next(errs, "goes on when it is back")

	_, port, err := net.SplitHostPort(strings.TrimPrefix(at, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := broker.Start(broker.Options{File: a.write("again.conf", `listen: "127.0.0.1:`+port+`", jetstream {}`), Dir: filepath.Join(a.dir, "data"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	nc, err := again.Connect("edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if a.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	a.put("40", records[5], records[7])
	next(out, `"code":151`)
	next(out, `"repeated"`)
	cancel()
	if err := <-ended; err != nil || len(out) > 0 || len(errs) > 0 {
		t.Errorf("%v, %d and %d lines more", err, len(out), len(errs))
	}
}
