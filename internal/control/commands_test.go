package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/control"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// teller answers each command with its parameters; REBOOT waits until it is let go.
type teller struct {
	mu    sync.Mutex
	asked []command.Message
	held  chan struct{}
}

func (e *teller) Execute(ctx context.Context, m command.Message) command.Answer {
	e.mu.Lock()
	e.asked = append(e.asked, m)
	e.mu.Unlock()
	c := m.Commands[0]
	a := command.Answer{ATM: "00000040", Head: command.Done()}
	if err := c.Check(); err != nil {
		a.Results = c.Fail(err)
		return a
	}
	if c.Name == command.Reboot {
		select {
		case <-e.held:
		case <-ctx.Done():
			return command.Refuse("00000040", code.New(code.OutcomeUnknown, ""))
		}
	}
	for i := range c.Results() {
		r := command.Result{ID: c.ID, Name: c.Name, Head: command.Head{Status: "ok", Source: "ProATM", Description: "Готово"}, XML: []byte("<command_result code='0' id='1'/>")}
		if len(c.Params) > 0 {
			r.Param = &c.Params[i].Value
		}
		a.Results = append(a.Results, r)
	}
	return a
}

func (e *teller) last() command.Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[len(e.asked)-1]
}

func (e *teller) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

type dropped struct {
	mu  sync.Mutex
	why []string
}

func (d *dropped) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.why
}

func serveCommands(t *testing.T, nc *nats.Conn) (*teller, *dropped) {
	t.Helper()
	e, d := &teller{held: make(chan struct{})}, &dropped{}
	door, err := control.OpenCommands(nc, control.Commands{ATM: "00000040", Version: "1.2.3", Executor: e, Log: zerolog.Nop(), Refused: func(_ context.Context, m command.Message, a command.Answer) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.why = append(d.why, fmt.Sprint(m.Commands[0].Name, " ", int(a.Code), " ", a.Description))
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- door.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e, d
}

// eventually waits for a condition.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func ask(t *testing.T, nc *nats.Conn, name, payload string, header ...string) *nats.Msg {
	t.Helper()
	m := &nats.Msg{Subject: streams.Cmd("40", name), Data: []byte(payload), Header: nats.Header{}}
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	answer, err := nc.RequestMsg(m, 5*time.Second)
	if err != nil {
		t.Fatalf("%s %s: %v", name, payload, err)
	}
	return answer
}

// SPEC 7: payload empty; words, double quotes group; JSON; XML. The answer is JSON for
// JSON, else XML.
func TestPayloads(t *testing.T) {
	nc, _ := connect(t)
	e, _ := serveCommands(t, nc)
	for _, c := range []struct{ name, payload, want string }{
		{"GET_DEVICE_INFO", "", ""},
		{"GET_DEVICE_INFO", "  \n", ""},
		{"GET_STATUS", "CIM", " =CIM"},
		{"GET_STATUS", " CIM  CDM\n", " =CIM =CDM"},
		{"GET_STATUS", `"CIM CashCode 2" ""x`, " =CIM CashCode 2 =x"},
		{"GET_STATUS", `{"params":["CIM"]}`, " =CIM"},
		{"GET_STATUS", `{"id":7,"params":["CIM",{"name":"n","value":"v"},12]}`, "7 =CIM n=v =12"},
		{"GET_STATUS", `{"id":"a b","params":["CIM"]}`, "a b =CIM"},
		{"REBOOT", `{}`, ""},
		{"GET_STATUS", `<command id='8' name='GET_STATUS'><param name='n' value='&lt;'/></command>`, "8 n=<"},
		{"GET_STATUS", "\ufeff<?xml version='1.0' encoding='UTF-8'?>\n<command name=' GET_STATUS '><param value='CIM'/></command>", " =CIM"},
	} {
		if c.name == "REBOOT" {
			close(e.held)
		}
		answer := ask(t, nc, c.name, c.payload)
		got := e.last().Commands[0]
		text := got.ID
		for _, p := range got.Params {
			text += " " + p.Name + "=" + p.Value
		}
		if text != c.want || got.Name != c.name {
			t.Errorf("%q: %s %q, want %q", c.payload, got.Name, text, c.want)
		}
		_, err := proatm.ParseCommandAnswer(answer.Data)
		if asJSON := strings.HasPrefix(c.payload, "{"); asJSON {
			err = json.Unmarshal(answer.Data, new(command.Answer))
		}
		if err != nil || answer.Header.Get(micro.ErrorHeader) != "" {
			t.Errorf("%q is answered %s, %v: %v", c.payload, answer.Data, answer.Header, err)
		}
	}
}

// What cannot be read is answered with code 3 and in Russian (SPEC 1), and reaches nobody.
func TestBadPayloads(t *testing.T) {
	nc, _ := connect(t)
	e, d := serveCommands(t, nc)
	before := e.count()
	const start = "Неверная запись команды: "
	payloads := map[string]string{
		`"CIM`:                         start + `кавычка (") не закрыта в «"CIM», закройте её`,
		"CDM “CIM”":                    start + `типографская кавычка, начиная с «“CIM”», кавычки должны быть прямыми (")`,
		"CIM\x01":                      start + "в «CIM\ufffd» есть символ U+0001, недопустимый в XML, уберите его",
		`{"params":["\u0001"]}`:        start + "в «\ufffd» есть символ U+0001, недопустимый в XML, уберите его",
		`{"id":"\ufffe"}`:              start + "в «\ufffd» есть символ U+FFFE, недопустимый в XML, уберите его",
		"\xff":                         start + "она не в кодировке UTF-8, отправьте её в UTF-8",
		`["CIM"]`:                      start + `ожидается объект JSON {…}, например {"id": "7", "params": ["CIM"]}`,
		`{"id":true}`:                  start + "id – не строка и не число, а true",
		`{"id":1}x`:                    start + "после объекта JSON стоит лишнее: «x»",
		`{"id":1} {}`:                  start + "после объекта JSON стоит лишнее: «{}»",
		`{"ids":1}`:                    start + "неизвестный ключ «ids», известны: id, params",
		`{".id":1}`:                    start + "неизвестный ключ «.id», известны: id, params",
		`{"id":1,"id":2}`:              start + "ключ «id» указан дважды",
		`{"params":[[]]}`:              start + "params[0] – не строка и не число, а []",
		`{"params":["a",{"x":1}]}`:     start + "неизвестный ключ «params[1].x», известны: name, value",
		`{"params":[{"value":false}]}`: start + "params[0].value – не строка и не число, а false",
		`{"params":"CIM"}`:             start + `params – не список ["CIM"], а "CIM"`,
		`{`:                            start + "объект JSON не закончен, не хватает скобки или кавычки в конце",
		`{"id":"7`:                     start + "объект JSON не закончен, не хватает скобки или кавычки в конце",
		`{"имя":,}`:                    start + `ошибка JSON (позиция 8): неожиданный символ «,»; например {"id": "7", "params": ["CIM"]}`,
		`{"params":[“CIM”]}`:           start + `ошибка JSON (позиция 12): типографская кавычка «“», кавычки должны быть прямыми ("); например {"id": "7", "params": ["CIM"]}`,
		`<command name='GET'/>`:        start + "в теме запроса команда «GET_STATUS», а в его тексте «GET», имена должны совпадать",
		"<command>":                    "не закрыт",
		"<monitoring/>":                "«monitoring»",
		"<command name=”GET_STATUS”/>": "типографская",
	}
	for payload, says := range payloads {
		answer := ask(t, nc, "GET_STATUS", payload)
		var a command.Answer
		var err error
		if strings.HasPrefix(payload, "{") || strings.HasPrefix(payload, "[") {
			err = json.Unmarshal(answer.Data, &a)
		} else {
			a, err = proatm.ParseCommandAnswer(answer.Data)
		}
		if err != nil || a.Code != code.Malformed || !strings.Contains(a.Description, says) || answer.Header.Get(micro.ErrorCodeHeader) != "3" {
			t.Errorf("%q: %s, %v: %v; want %s", payload, answer.Data, answer.Header, err, says)
		}
	}
	if n := e.count() - before; n != 0 {
		t.Errorf("%d were executed", n)
	}
	if got := d.list(); len(got) != len(payloads) || slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, "GET_STATUS 3") }) {
		t.Errorf("recorded: %q", got)
	}
}

// SPEC 7: errors of ours also as micro error headers with the code; an unknown command
// is answered too.
func TestErrorHeaders(t *testing.T) {
	nc, _ := connect(t)
	serveCommands(t, nc)
	for name, want := range map[string]string{"GET_STATUS": "103", "FORMAT": "101", "reboot": "101"} {
		answer := ask(t, nc, name, "")
		a, err := proatm.ParseCommandAnswer(answer.Data)
		if err != nil || a.Code != code.OK || len(a.Results) != 1 || answer.Header.Get(micro.ErrorCodeHeader) != want || answer.Header.Get(micro.ErrorHeader) == "" {
			t.Errorf("%s: %s, %v: %v", name, answer.Data, answer.Header, err)
		}
	}
}

// A command that wants no answer, or wants it where it may do harm, is dropped and
// reported (DESIGN: a reply subject is a write permission).
func TestDropped(t *testing.T) {
	nc, _ := connect(t)
	e, d := serveCommands(t, nc)
	before := e.count()
	subject := streams.Cmd("40", command.Reboot)
	if err := errors.Join(nc.Publish(subject, nil), nc.PublishRequest(subject, "in.00000040.URAL", nil), nc.PublishRequest(streams.Cmd("40", "FORMAT"), "$JS.API.STREAM.PURGE.EVENTS", nil)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(d.list()) >= 3 }) // until all are reported
	if e.count() != before {
		t.Error("one was executed")
	}
	got := d.list()
	slices.Sort(got)
	want := []string{
		"FORMAT 106 Команда отброшена: её ответ пошёл бы не в почтовый ящик (_INBOX…), а в «$JS.API.STREAM.PURGE.EVENTS», отправьте её запросом (request)",
		"REBOOT 106 Команда отброшена: её ответ пошёл бы не в почтовый ящик (_INBOX…), а в «in.00000040.URAL», отправьте её запросом (request)",
		"REBOOT 106 Команда отброшена: не указано, куда идёт ответ (reply), отправьте её запросом (request)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// One slow command holds up nobody, and each gets its own answer.
func TestSlowCommands(t *testing.T) {
	nc, _ := connect(t)
	e, _ := serveCommands(t, nc)
	answers := make(chan string, 10)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { answers <- string(ask(t, nc, "REBOOT", `{"id":"r"}`).Data) })
	}
	eventually(t, func() bool { return e.count() >= 10 }) // until all are being executed at once
	ask(t, nc, "GET_STATUS", "CIM")
	if len(answers) > 0 {
		t.Error("answered before it was done")
	}
	close(e.held)
	wg.Wait()
	for range 10 {
		if a := <-answers; !strings.Contains(a, `"id":"r"`) {
			t.Error(a)
		}
	}
}

// nats micro ls, info, stats.
func TestDiscovery(t *testing.T) {
	nc, _ := connect(t)
	serveCommands(t, nc)
	for range 3 {
		ask(t, nc, "GET_STATUS", "CIM")
	}
	ask(t, nc, "RESET", "") // 103
	var info micro.Info
	var stats micro.Stats
	for verb, v := range map[string]any{"INFO": &info, "STATS": &stats} {
		m, err := nc.Request("$SRV."+verb+"."+control.TerminalService, nil, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, v); err != nil {
			t.Fatal(err)
		}
	}
	if info.Version != "1.2.3" || info.Metadata["atm"] != "00000040" || len(info.Endpoints) != len(command.Names)+1 {
		t.Errorf("%+v", info)
	}
	for _, e := range stats.Endpoints {
		want := map[string][2]int{"GET_STATUS": {3, 0}, "RESET": {1, 1}}[e.Name]
		if e.NumRequests != want[0] || e.NumErrors != want[1] {
			t.Errorf("%+v", e)
		}
	}
}

// Who asks is what the message says; an account is what nats.conf says by the subject,
// and nothing that a header says.
func TestOrigins(t *testing.T) {
	nc, _ := connect(t)
	e, _ := serveCommands(t, nc)
	ask(t, nc, "GET_STATUS", "CIM")
	if o := e.last().Origin; o != (command.Origin{Way: "nats"}) {
		t.Errorf("%+v", o)
	}
	ask(t, nc, "GET_STATUS", "CIM", streams.HeaderWay, "vestnik", streams.HeaderWho, "olga@desk", "Nats-Request-Info", `{"acc":"FORGED"}`)
	if o := e.last().Origin; o != (command.Origin{Way: "vestnik", Who: "olga@desk"}) {
		t.Errorf("%+v", o)
	}
	for subject, want := range map[string]string{"as.OPERATOR.cmd.00000040.GET_STATUS": "OPERATOR: olga@desk", "as.HUB.cmd.00000040.NOTHING": "HUB: olga@desk"} {
		m, err := nc.RequestMsg(&nats.Msg{Subject: subject, Data: []byte("CIM"), Header: nats.Header{streams.HeaderWho: {"olga@desk"}, "Nats-Request-Info": {`{"acc":"FORGED"}`}}}, time.Second)
		if err != nil || len(m.Data) == 0 {
			t.Fatal(err)
		}
		if got := e.last(); got.Origin != (command.Origin{Way: "nats", Who: want}) || !strings.HasSuffix(subject, "."+got.Commands[0].Name) {
			t.Errorf("%s: %+v", subject, got)
		}
	}
	for subject, want := range map[string]string{"as.OPERATOR.cmd.00000040.GET_STATUS": "nats", "as.SINK_PROXIMA.cmd.00000040.GET_STATUS": "proxima", "cmd.00000040.GET_STATUS": "proxima"} {
		m := &nats.Msg{Subject: subject, Data: []byte("CIM"), Header: nats.Header{streams.HeaderWay: {"proxima"}}}
		if _, err := nc.RequestMsg(m, time.Second); err != nil {
			t.Fatal(err)
		}
		if got := e.last().Origin.Way; got != want {
			t.Errorf("%s that says proxima came by %s, want %s", subject, got, want)
		}
	}
	if m, err := nc.Request("as.HUB.cmd.00000041.GET_STATUS", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("another terminal: %v, %v", m, err)
	}
	ask(t, nc, "GET_STATUS", "CIM", streams.HeaderWay, "frame", streams.HeaderResume, "2026-11-28T10:00:00.5Z")
	if m := e.last(); m.Origin.Way != "nats" || m.Resume.UnixMilli() != 1795860000500 {
		t.Errorf("%+v", m)
	}
}
