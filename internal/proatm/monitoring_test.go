package proatm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

func TestMonitoring(t *testing.T) {
	t.Parallel()
	get := func(params ...string) (c command.Command) {
		c = command.Command{ID: "1", Name: command.GetStatus}
		for _, p := range params {
			c.Params = append(c.Params, command.Param{Value: p})
		}
		return c
	}
	for _, c := range []struct {
		body string
		want []command.Command
	}{
		{`<monitoring/>`, nil},
		{`<monitoring atm="40"> text <other><x/></other></monitoring>`, nil},
		{`<monitoring><command id='1' name=' GET_STATUS '><param value="CIM"/></command></monitoring>`, []command.Command{get("CIM")}},
		{`<monitoring><command id='1' name='GET_STATUS'><param value="CIM"/><!-- and --><param value="&lt;"/></command><command name='REBOOT'></command></monitoring>`,
			[]command.Command{get("CIM", "<"), {Name: command.Reboot}}},
		{`<monitoring><command name='X' colour='red'><param/><param name='n' value='v'></param></command></monitoring>`,
			[]command.Command{{Name: "X", Params: []command.Param{{}, {Name: "n", Value: "v"}}}}},
	} {
		d, err := Parse([]byte(c.body), Limits{})
		if err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		if diff := cmp.Diff(c.want, d.Commands); diff != "" {
			t.Errorf("%s: %s", c.body, diff)
		}
		again, err := Parse(Monitoring("", d.Commands), Limits{})
		if diff := cmp.Diff(c.want, again.Commands); err != nil || diff != "" {
			t.Errorf("written and read again: %v %s", err, diff)
		}
	}
}

func TestMonitoringRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body string
		code code.Code
		text string
	}{
		{`<monitoring><event/></monitoring>`, code.Malformed, "недопустим элемент «event»"},
		{`<monitoring><command name='X'><command name='Y'/></command></monitoring>`, code.Malformed, "недопустим элемент «command»"},
		{`<monitoring><param value='x'/></monitoring>`, code.Malformed, "недопустим элемент «param»"},
		{`<monitoring><x><command name='X'/></x></monitoring>`, code.Malformed, "недопустим элемент «command»"},
		{`<monitoring><x><param value='x'/></x></monitoring>`, code.Malformed, "недопустим элемент «param»"},
		{`<monitoring><command name='X'><monitoring/></command></monitoring>`, code.Malformed, "недопустим элемент «monitoring»"},
		{`<monitoring atm=”00000040”/>`, code.Malformed, "типографская кавычка"},
		{`<monitoring><command id='1' name='GET_STATUS'><param value=”CIM”/></command></monitoring>`, code.Malformed, "типографская кавычка"},
		{`<monitoring atm='x'/>`, code.MissingAttribute, "atm"},
		{`<monitoring atm=''/>`, code.MissingAttribute, "atm"},
		{`<monitoring><command id='1'/></monitoring>`, code.MissingAttribute, "name"},
		{`<monitoring><command name='A'/><command name='  '/></monitoring>`, code.MissingAttribute, "команды 2"},
	} {
		_, err := Parse([]byte(c.body), Limits{})
		var ce *code.Error
		if !errors.As(err, &ce) || ce.Code != c.code || !strings.Contains(ce.Text(), c.text) {
			t.Errorf("%s: %v, want code %d with %q", c.body, err, c.code, c.text)
		}
	}
}

func TestParseCommand(t *testing.T) {
	t.Parallel()
	got, err := ParseCommand([]byte("<?xml version='1.0' encoding='UTF-8'?>\n<command id='7' name='RESET'><param value='CIM'/></command>\n"), Limits{})
	want := command.Command{ID: "7", Name: command.Reset, Params: []command.Param{{Value: "CIM"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if got, err = ParseCommand(Command(want), Limits{}); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", " ", "x", "<monitoring/>", "<command", "<command/>", "<command name='A'/><command name='B'/>", "<command name='A'/>x",
		"<command name='A'></monitoring>", "<command name='A'/></monitoring>"} {
		if c, err := ParseCommand([]byte(bad), Limits{}); err == nil {
			t.Errorf("%q is taken: %v", bad, c)
		}
	}
}

const answer = `<?xml version='1.0' encoding='UTF-8'?>
<monitoring atm='0000001'>
  <result code='0' status='ok' source='ProATM' description='Команды обработаны'/>
  <command_result code='0' status='ok' source='ProATM' description='Статус устройства' id='1' param='CIM'>
    <status device_name="cim"><component name="device" code="0" description="x"/></status>
</command_result>
  <command_result code="151" status='error' source='ProATM' description='' id='2'/>
</monitoring>`

func TestCommandAnswer(t *testing.T) {
	t.Parallel()
	a, err := ParseCommandAnswer([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	cim := "CIM"
	want := command.Answer{ATM: "0000001", Head: command.Head{Status: "ok", Source: "ProATM", Description: "Команды обработаны"},
		Results: []command.Result{
			{ID: "1", Param: &cim, Head: command.Head{Status: "ok", Source: "ProATM", Description: "Статус устройства"}},
			{ID: "2", Head: command.Head{Code: 151, Status: "error", Source: "ProATM"}},
		}}
	first := answer[strings.Index(answer, "<command_result"):]
	first = first[:strings.Index(first, "</command_result>")+len("</command_result>")]
	want.Results[0].XML = []byte(first)
	want.Results[1].XML = []byte(`<command_result code="151" status='error' source='ProATM' description='' id='2'/>`)
	if diff := cmp.Diff(want, a); diff != "" {
		t.Fatal(diff)
	}
	again, err := ParseCommandAnswer(CommandAnswer(a))
	if diff := cmp.Diff(a, again); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	own := command.Command{ID: "3", Name: "X", Params: []command.Param{{Value: "a"}, {Value: "b"}}}
	a.Results = append(a.Results, own.Fail(code.New(code.UnknownCommand, ""))...)
	if again, err = ParseCommandAnswer(CommandAnswer(a)); err != nil || len(again.Results) != 4 || again.Results[3].Code != 101 || *again.Results[3].Param != "b" {
		t.Errorf("%v, %v", again, err)
	}
}

func TestCommandAnswerRefused(t *testing.T) {
	t.Parallel()
	const ok = `<result code='0'/>`
	for bad, says := range map[string]string{
		"":              "нет корневого элемента",
		"<monitoring/>": "в ответе нет элемента result",
		"<event/>":      "корневой элемент «event», а не monitoring",
		"<monitoring>" + ok + ok + "</monitoring>":                              "элементов result в ответе 2, а не один",
		"<monitoring><result code='x'/></monitoring>":                           "у элемента result код «x» – не число",
		"<monitoring><result/></monitoring>":                                    "у элемента result нет атрибута code",
		"<monitoring>" + ok + "<command_result code='0'/></monitoring>":         "у элемента command_result нет атрибута id",
		"<monitoring>" + ok + "<command_result id='1'/></monitoring>":           "у элемента command_result нет атрибута code",
		"<monitoring>" + ok + "<command_result id='1' code='%d'/></monitoring>": "у элемента command_result код «%d» – не число",
		"<monitoring>" + ok + "<other/></monitoring>":                           "неизвестный элемент «other» рядом с command_result",
		"<monitoring>" + ok + "<command_result id='1' code='0'>":                "элемент не закрыт",
		"<monitoring>" + ok: "элемент не закрыт",
	} {
		a, err := ParseCommandAnswer([]byte(bad))
		var ce *code.Error
		if !errors.As(err, &ce) || !strings.Contains(ce.Description, says) || ce.Detail == "" {
			t.Errorf("%q: %v, %v, want %q", bad, a, err, says)
		}
	}
}

// What <monitoring> holds and the manual does not know is named: it may be a mistake.
func TestIgnored(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"<monitoring/>": "",
		"<monitoring><command name='X'><param value='1'/></command></monitoring>":        "",
		"<monitoring> text <comand name='X'><parm/></comand><other/></monitoring>":       "comand",
		"<monitoring><command name='X'><parm value='1'/></command><other/></monitoring>": "parm",
		"<event severity='1' device='x'/>":                                               "",
	} {
		if d, err := Parse([]byte(body), Limits{}); err != nil || d.Ignored != want {
			t.Errorf("%s: %q, %v, want %q", body, d.Ignored, err, want)
		}
	}
}
