package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/schema"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// commanded is a site with a terminal application, whose events go to the edge.
type commanded struct {
	*site
	app  *simulate.Application
	addr string // of the application
}

// newCommanded makes the site; limits are more settings of the block terminal.
func newCommanded(t *testing.T, o settings, a simulate.ApplicationOptions) *commanded {
	t.Helper()
	ln := listenFree(t)
	c := &commanded{addr: ln.Addr().String()}
	o.Limits += fmt.Sprintf("\n application: %q", c.addr)
	c.site = newSite(t, o)
	a.Events, a.RetryPause = c.terminal, 50*time.Millisecond
	c.app = simulate.NewApplication(a)
	serveOn(t, ln, c.app.Serve)
	return c
}

func quick() simulate.ApplicationOptions {
	return simulate.ApplicationOptions{Step: 20 * time.Millisecond, RebootTime: 100 * time.Millisecond}
}

// message is what the manual's systems send.
func monitoring(commands ...string) string {
	return "<?xml version='1.0' encoding='UTF-8'?>\n<monitoring>" + strings.Join(commands, "") + "</monitoring>"
}

// exchangeAt sends a message to a port and returns the answer's body.
func (c *commanded) exchangeAt(addr, signature, body string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 60*time.Second)
	defer cancel()
	answer, err := simulate.Send(ctx, addr, signature, frame.BigEndian, []byte(body))
	if err != nil {
		c.t.Fatalf("send %.200s: %v", body, err)
	}
	return answer
}

// frame sends a message to the terminal port.
func (c *commanded) frame(body string) command.Answer {
	c.t.Helper()
	return c.parse(c.exchangeAt(c.terminal, "URAL", body))
}

func (c *commanded) parse(body []byte) command.Answer {
	c.t.Helper()
	a, err := proatm.ParseCommandAnswer(body)
	if err != nil {
		c.t.Fatalf("answer %s: %v", body, err)
	}
	return a
}

// says sums an answer up: code of the result, then id=code of each command's.
func says(a command.Answer) string {
	s := fmt.Sprint(int(a.Code))
	for _, r := range a.Results {
		s += fmt.Sprintf(" %s=%d", r.ID, r.Code)
	}
	return s
}

// manualCommands are the forms in the manual's command chapters.
var manualCommands = []struct {
	name, params string
	xml          string
}{
	{"GO_IN_SERVICE", "", `<command id='1' name='GO_IN_SERVICE'/>`},
	{"GO_OUT_OF_SERVICE", "", `<command id='1' name='GO_OUT_OF_SERVICE'/>`},
	{"GET_STATUS", "CIM", `<command id='1' name=' GET_STATUS '><param value="CIM"/></command>`},
	{"GET_STATUS", "CIM proatm", `<command id='1' name='GET_STATUS'><param value="CIM"/><param value="proatm"/></command>`},
	{"RESET", "CIM", `<command id='1' name='RESET'><param value="CIM"/></command>`},
	{"GET_CASH_UNIT_INFO", "CIM CDM", `<command id='1' name='GET_CASH_UNIT_INFO'><param value="CIM"/><param value="CDM"/></command>`},
	{"GET_CIM_NOTETYPES", "CIM.CashCode2", `<command id='1' name='GET_CIM_NOTETYPES'><param value="CIM.CashCode2"/></command>`},
	{"GET_DEVICE_INFO", "", `<command id='1' name='GET_DEVICE_INFO' />`},
	{"GET_DEVICE_INFO", "software CIM", `<command id='1' name='GET_DEVICE_INFO'><param value="software" /><param value="CIM" /></command>`},
	{"REBOOT", "", `<command id='1' name=' REBOOT'/>`},
}

// SPEC 7: every command of the manual by every way in; each command_result of the
// application stands in the answer byte for byte.
func TestCommandEveryWay(t *testing.T) {
	t.Parallel()
	for _, way := range waysIn {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			c := newCommanded(t, settings{Limits: `repeat_window: "0s"`, Commands: true}, quick())
			c.start(way.programs...)
			for _, m := range manualCommands {
				var want command.Answer
				if command.Acts(m.name) { // asked twice it would be another answer
					want = command.Answer{Results: []command.Result{{ID: "1"}}}
				} else {
					want = c.parse(c.exchangeAt(c.addr, "URAL", monitoring(m.xml)))
				}
				executed := len(c.app.Executed())
				got := way.ask(c, m.name, m.params, m.xml)
				if n := len(c.app.Executed()) - executed; n != 1 {
					t.Errorf("%s %s: executed %d times", m.name, m.params, n)
				}
				if !got.OK() || len(got.Results) != len(want.Results) {
					t.Errorf("%s %s: %s", m.name, m.params, says(got))
					continue
				}
				for i, r := range want.Results {
					// Without an id of its own a command has got one.
					r.XML = bytes.Replace(r.XML, []byte("id='1'"), []byte("id='"+got.Results[i].ID+"'"), 1)
					if got.Results[i].XML != nil && !command.Acts(m.name) && string(r.XML) != string(got.Results[i].XML) {
						t.Errorf("%s %s: result\n%s\nwant\n%s", m.name, m.params, got.Results[i].XML, r.XML)
					}
				}
				c.returned(m.name)
			}
			c.audited(way.way, len(manualCommands))
		})
	}
}

// returned waits until a rebooting application is there again.
func (c *commanded) returned(name string) {
	c.t.Helper()
	if name != command.Reboot {
		return
	}
	eventually(c.t, 10*time.Second, say("the application is back"), func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		defer cancel()
		_, err := simulate.Send(ctx, c.addr, "URAL", frame.BigEndian, []byte("<monitoring/>"))
		return err == nil
	})
}

// audited wants so many messages by a way in AUDIT, each with its results.
func (c *commanded) audited(way string, n int) {
	c.t.Helper()
	begun, ended := 0, 0
	for _, r := range c.records() {
		switch {
		case r.Kind == audit.Begin && r.Origin.Way == way:
			begun++
		case r.Kind == audit.End:
			ended++
		}
	}
	if begun != n || ended != n {
		c.t.Errorf("AUDIT has %d messages by way %s and %d ends, want %d", begun, way, ended, n)
	}
}

// records is what AUDIT holds.
func (c *commanded) records() (list []audit.Record) {
	c.t.Helper()
	_, js := c.connect()
	err := streams.Scan(c.t.Context(), js, streams.Audit, streams.From{Subjects: []string{streams.AuditCmd("40")}}, func(m jetstream.Msg) error {
		list = append(list, audit.Record{})
		return json.Unmarshal(m.Data(), &list[len(list)-1])
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

type wayIn struct {
	name, way string
	programs  []string
	ask       func(c *commanded, name, params, xml string) command.Answer
}

var waysIn = []wayIn{
	{"frame", command.WayFrame, programs[:1], func(c *commanded, _, _, xml string) command.Answer { return c.frame(monitoring(xml)) }},
	{"NATS words", command.WayNATS, programs[:1], func(c *commanded, name, params, _ string) command.Answer {
		return c.parse(c.request(name, params).Data)
	}},
	{"NATS XML", command.WayNATS, programs[:1], func(c *commanded, name, _, xml string) command.Answer { return c.parse(c.request(name, xml).Data) }},
	{"NATS JSON", command.WayNATS, programs[:1], func(c *commanded, name, params, _ string) command.Answer {
		data, _ := json.Marshal(map[string]any{"id": 1, "params": strings.Fields(params)})
		return c.fromJSON(c.request(name, string(data)).Data)
	}},
	{"vestnik command", command.WayVestnik, programs[:1], func(c *commanded, name, params, _ string) command.Answer {
		out, errs, exit := c.vestnik(append([]string{"command", "40", name, "--id", "1"}, strings.Fields(params)...)...)
		if exit != 0 {
			c.t.Errorf("exit code %d: %s", exit, errs)
		}
		return c.parse([]byte(strings.TrimSpace(out)))
	}},
	{"vestnik command as JSON", command.WayVestnik, programs[:1], func(c *commanded, name, params, _ string) command.Answer {
		out, errs, exit := c.vestnik(append([]string{"command", "00000040", name, "--json", "--id", "1"}, strings.Fields(params)...)...)
		if exit != 0 {
			c.t.Errorf("exit code %d: %s", exit, errs)
		}
		return c.fromJSON([]byte(out))
	}},
	{"proxima's polling", command.WayProxima, programs, func(c *commanded, name, params, _ string) command.Answer {
		before := len(c.proxima.Results())
		order(c.t, c.site, nil, name, strings.Fields(params)...)
		eventually(c.t, 30*time.Second, say("the result of %s", name), func() bool { return len(c.proxima.Results()) > before })
		r := c.proxima.Results()[before]
		if r.Problem != "" || r.Name != name {
			c.t.Errorf("%s: %s", r.Body, r.Problem)
		}
		return r.Answer
	}},
}

// fromJSON reads an answer that the schema has to allow.
func (c *commanded) fromJSON(data []byte) (a command.Answer) {
	c.t.Helper()
	if err := errors.Join(json.Unmarshal(data, &a), schema.ValidateAnswer(data)); err != nil {
		c.t.Fatalf("answer %s: %v", data, err)
	}
	return a
}

func (c *commanded) request(name, payload string) *nats.Msg {
	c.t.Helper()
	nc, _ := c.connect()
	m, err := nc.Request(streams.Cmd("40", name), []byte(payload), 60*time.Second)
	if err != nil {
		c.t.Fatalf("%s %s: %v", name, payload, err)
	}
	return m
}

// Bad input and a bad application: each its code, in its place, with a description that
// says what to do; intake goes on meanwhile.
func TestCommandFailures(t *testing.T) {
	t.Parallel()
	c := newCommanded(t, settings{Limits: `answer_timeout: "400ms"`}, simulate.ApplicationOptions{ATM: "40", Step: 20 * time.Millisecond, RebootTime: 700 * time.Millisecond})
	c.start(programs[0])
	const get = `<command id='1' name='GET_STATUS'><param value='CIM'/></command>`
	many := strings.Repeat(get, 200)
	for _, f := range []struct {
		name, body string
		fault      simulate.AnswerFault
		want       string // says, without the manual's many
		text       string // in a description
	}{
		{"fine", monitoring(get), "", "0 1=0", ""},
		{"no commands", monitoring(), "", "0", "нет команд"},
		{"unknown", monitoring(`<command id='1' name='FORMAT'/>`, get), "", "0 1=101 1=0", "известны"},
		{"another case", monitoring(`<command id='1' name='reboot'/>`), "", "0 1=101", ""},
		{"other terminal", `<monitoring atm='41'>` + get + `</monitoring>`, "", "102", "41"},
		{"its number", `<monitoring atm='40'>` + get + `</monitoring>`, "", "0 1=0", ""},
		{"its number in full", `<monitoring atm='00000040'>` + get + `</monitoring>`, "", "0 1=0", ""},
		{"no number", `<monitoring atm='x'>` + get + `</monitoring>`, "", "5", "atm"},
		{"missing parameter", monitoring(get, `<command id='2' name='RESET'/>`), "", "0 1=0 2=103", "нужен параметр"},
		{"typographic quotes", "<monitoring><command id='1' name='GET_STATUS'><param value=”CIM”/></command></monitoring>", "", "3", "типографская"},
		{"no id", monitoring(`<command name='GO_IN_SERVICE'/>`), "", "0 ?=0", ""},
		{"device's own error", monitoring(`<command id='1' name='GET_STATUS'><param value='XXX'/></command>`), "", "0 1=151", ""},
		{"200 commands", monitoring(many), "", "108", "меньше"},
		{"200 commands, short", monitoring(strings.Repeat(`<command id='1' name='GO_IN_SERVICE'/><command id='2' name='GO_OUT_OF_SERVICE'/>`, 100)), "", "0" + strings.Repeat(" 1=0 2=0", 100), ""},
		{"silent", monitoring(get), simulate.AnswerSilent, "105", "не ответило"},
		{"closes", monitoring(get), simulate.AnswerClose, "107", "без ответа"},
		{"closes in the middle", monitoring(get), simulate.AnswerCut, "107", "не закончив"},
		{"no XML", monitoring(get), simulate.AnswerMalformed, "107", ""},
		{"half an XML", monitoring(get), simulate.AnswerTruncated, "107", ""},
		{"answer to another id", monitoring(get), simulate.AnswerWrongID, "107", ""},
		{"another signature", monitoring(get), simulate.AnswerSignature, "107", ""},
		{"too few results", monitoring(`<command id='1' name='GET_STATUS'><param value='CIM'/><param value='CDM'/></command>`), simulate.AnswerFew, "107", ""},
		{"an answer as long as can be", monitoring(get), simulate.AnswerBig, "0 1=0", ""},
		{"longer than a frame", monitoring(get, `<command id='2' name='FORMAT'/>`), simulate.AnswerBig, "108", "меньше"},
	} {
		c.app.Change(func(b *simulate.ApplicationBehaviour) { b.Fault = f.fault })
		begun := time.Now()
		var intake sync.WaitGroup
		intake.Go(func() { c.accept("URAL", exampleEvent) })
		a := c.frame(f.body)
		intake.Wait()
		got := says(a)
		if f.name == "no id" && len(a.Results) == 1 && a.Results[0].ID != "" {
			got = strings.Replace(got, a.Results[0].ID, "?", 1)
		}
		if got != f.want {
			t.Errorf("%s: %.200s, want %.200s", f.name, got, f.want)
		}
		text := a.Description
		for _, r := range a.Results {
			text += r.Description
			if r.Source == command.Agent && r.Code != code.OK && strings.TrimSpace(r.Description) == "" {
				t.Errorf("%s: no description", f.name)
			}
		}
		if !strings.Contains(text, f.text) || a.Description == "" {
			t.Errorf("%s: %q does not say %q", f.name, text, f.text)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: took %s", f.name, took)
		}
	}
	c.app.Change(func(b *simulate.ApplicationBehaviour) { b.Fault = "" })

	c.app.Vanish()
	if got := says(c.frame(monitoring(get))); got != "104" {
		t.Errorf("no application: %s", got)
	}
	if err := c.app.Return(); err != nil {
		t.Fatal(err)
	}
	if got := says(c.frame(monitoring(`<command id='r' name='REBOOT'/>`))); got != "0 r=0" {
		t.Errorf("REBOOT: %s", got)
	}
	eventually(t, 10*time.Second, say("104 while it reboots"), func() bool { return says(c.frame(monitoring(get))) == "104" })
	c.returned(command.Reboot)
	if got := says(c.frame(monitoring(get))); got != "0 1=0" {
		t.Errorf("after the reboot: %s", got)
	}
	c.processes["edge"].stop(t)
}

// SPEC 4: vestnik pause stops commands while intake goes on; SPEC 7: commands: off.
func TestCommandPausedAndOff(t *testing.T) {
	t.Parallel()
	const get = `<command id='1' name='GET_STATUS'><param value='CIM'/></command>`
	c := newCommanded(t, settings{}, quick())
	c.start(programs[0])
	c.vestnik("pause")
	eventually(t, 10*time.Second, say("paused"), func() bool { return says(c.frame(monitoring(get))) == "7" })
	m := c.request("GET_STATUS", "CIM")
	if a := c.parse(m.Data); a.Code != code.Paused || a.Status != "warning" || m.Header.Get(micro.ErrorCodeHeader) != "7" {
		t.Errorf("%s %v", m.Data, m.Header)
	}
	c.accept("URAL", exampleEvent)
	c.processes["edge"].stop(t)
	c.start(programs[0]) // a pause survives
	if got := says(c.frame(monitoring(get))); got != "7" {
		t.Error(got)
	}
	c.vestnik("resume")
	eventually(t, 10*time.Second, say("resumed"), func() bool { return says(c.frame(monitoring(get))) == "0 1=0" })
	c.processes["edge"].stop(t)

	off := newCommanded(t, settings{Limits: "commands: off"}, quick())
	off.start(programs[0])
	if got := says(off.frame(monitoring(get))); got != "0 1=106" {
		t.Error(got)
	}
	if got := says(off.parse(off.request("GET_STATUS", "CIM").Data)); !strings.HasSuffix(got, "=0") { // not this port's
		t.Error(got)
	}
	off.accept("URAL", exampleEvent)
	if n := len(off.app.Executed()); n != 1 {
		t.Errorf("%d executed", n)
	}
}

// Results of asynchronous commands arrive as events (SPEC 7), at the monitoring system.
func TestCommandCourseArrives(t *testing.T) {
	t.Parallel()
	c := newCommanded(t, settings{}, quick())
	c.start(programs...)
	for _, text := range []string{"GO_OUT_OF_SERVICE", "GO_IN_SERVICE", "REBOOT"} {
		if got := says(c.frame(monitoring(fmt.Sprintf("<command id='%s' name='%s'/>", text, text)))); got != "0 "+text+"=0" {
			t.Errorf("%s: %s", text, got)
		}
		eventually(t, 10*time.Second, say("%s has taken effect", text), func() bool {
			want := map[string]simulate.State{"GO_OUT_OF_SERVICE": simulate.StateOutOfService, "GO_IN_SERVICE": simulate.StateWaiting}
			s, known := want[text]
			return !known || c.app.State("40") == s
		})
	}
	eventually(t, 20*time.Second, say("the course of all commands at the monitoring system"), func() bool {
		text := ""
		for _, a := range c.uralsib.Arrivals() {
			text += a.Attr("message") + "\n"
		}
		return strings.Contains(text, "Терминал перезагружается") && strings.Contains(text, "Запущено терминальное ПО ProATM") && strings.Contains(text, "Изменено состояние приложения")
	})
}

// A store without room for the record of commands takes events, and commands get code 6.
func TestCommandsWithoutRecord(t *testing.T) {
	t.Parallel()
	c := newCommanded(t, settings{}, quick())
	conf, err := os.ReadFile(c.path("vestnik.conf"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("vestnik.conf", strings.Replace(string(conf), "events_bytes: 1GB", "events_bytes: 100MB", 1))
	c.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 200MB }\n", c.nats, filepath.Join(c.dir, "data")))
	c.start(programs[0])
	c.accept("URAL", exampleEvent)
	if got := says(c.frame(monitoring(`<command id='1' name='REBOOT'/>`))); got != "6" {
		t.Error(got)
	}
	if n := len(c.app.Executed()); n != 0 {
		t.Errorf("%d executed", n)
	}
	if out, _, _ := c.vestnik("status"); !strings.Contains(out, "commands are refused") {
		t.Error(out)
	}
	c.processes["edge"].stop(t)
}
