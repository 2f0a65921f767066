package simulate

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// table2 is the manual's table 2, retyped: the text of each message and its
// own macros. #MESSAGE# rows have the name of the template instead.
var table2 = []struct{ text, macros string }{
	{"Перезагрузка уже выполняется. Команда не будет выполнена", "COMMAND_ID"},
	{"Произошла ошибка во время ожидания перехода терминала в состояние подходящее для перезагрузки. Принудительная перезагрузка терминала", "COMMAND_ID"},
	{"Истекло время ожидания перехода Ogre в нужное состояние. Принудительная перезагрузка терминала", "COMMAND_ID"},
	{"Терминал перезагружается", "COMMAND_ID"},
	{"Не удалось запустить перезагрузку терминала", "COMMAND_ID"},
	{"Неизвестное устройство", "COMMAND_ID DEVICE"},
	{"Устройство не поддерживает команду Reset", "COMMAND_ID DEVICE"},
	{"При выполнении команды Reset произошла ошибка", "COMMAND_ID DEVICE"},
	{"Состояние устройства было сброшено", "COMMAND_ID DEVICE"},
	{"Карта была захвачена", ""},
	{"cim-cash-units", "DEVICE_NAME MESSAGE"},
	{"cdm-cash-units", "MESSAGE"},
	{"cash-accepted", "MESSAGE"},
	{"web-application", "MESSAGE"},
	{"device-state", "COMPONENT DEVICE DEVICE_NAME INIT_STATE MESSAGE OPER_CYCLE OPER_CYCLE_CLOSE_DATE OPER_CYCLE_OPEN_DATE OPER_CYCLE_SUM REPORT_TIME SEVERITY STATUS"},
	{"journal", "DEST JOURNAL_MSG_ID MESSAGE MESSAGE_PAPER"},
	{"command-state", "MESSAGE TIMEOUT_DESCRIPTION"},
	{"iso8583-authorizer", "ISO8583_AUTH_STATUS MESSAGE SEVERITY"},
	{"adm-state", "ADM_STATUS MESSAGE SEVERITY"},
	{"Не удалось загрузить страницу web-приложения", ""},
	{"Восстановлена связь с web-приложением", ""},
	{"Ошибка в коде web-приложения: #ERROR_MESSAGE#. URL: #ERROR_URL#. Строка: #ERROR_LINE#", "ERROR_LINE ERROR_MESSAGE ERROR_URL"},
	{"", ""}, // the heartbeat
	{"Запущено терминальное ПО ProATM", ""},
	{"Остановлено терминальное ПО ProATM", "APPLICATION_STATE"},
	{"Изменено состояние приложения с #OLD_APPLICATION_STATE_TEXT# на #NEW_APPLICATION_STATE_TEXT#", "NEW_APPLICATION_STATE_TEXT OLD_APPLICATION_STATE_TEXT"},
	{"Сброшен счетчик захваченных карт", ""},
	{"Сработал таймаут загрузки документа: #TIMEOUT_DESCRIPTION#", "TIMEOUT_DESCRIPTION TIMEOUT_ID"},
}

func TestTemplatesAreTable2(t *testing.T) {
	t.Parallel()
	all := Templates()
	if len(all) != len(table2) {
		t.Fatalf("%d templates, table 2 has %d messages", len(all), len(table2))
	}
	for i, want := range table2 {
		text, _ := event.Lookup(all[i].Fields, "message")
		if text == "#MESSAGE#" {
			text = all[i].Name
		}
		if text != want.text {
			t.Errorf("template %s: message %q, want %q", all[i].Name, text, want.text)
		}
		if got := strings.Join(ownMacros(&all[i]), " "); got != want.macros {
			t.Errorf("template %s: macros %q, want %q", all[i].Name, got, want.macros)
		}
	}
}

// ownMacros are the macros in a template's fields but those of table 1.
func ownMacros(t *Template) []string {
	var names []string
	for _, f := range t.Fields {
		for _, n := range macrosIn(f.Value) {
			if _, common := commonMacros[n]; !common {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var anyMacro = regexp.MustCompile(`#[A-Z0-9_]+#|\{[0-9]+\.\.`)

func TestEveryTemplateExpandsToAnAcceptedEvent(t *testing.T) {
	t.Parallel()
	for _, tpl := range Templates() {
		for seed := range uint64(30) {
			attrs := tpl.Expand(Moment{"7", time.Unix(1290606064, 0)}, rand.New(rand.NewPCG(seed, 0)))
			body := proatm.Event(attrs)
			d, err := proatm.Parse(body, proatm.Limits{Depth: 64, Attributes: 256})
			if err != nil {
				t.Fatalf("template %s: %v\n%s", tpl.Name, err, body)
			}
			if diff := cmp.Diff(attrs, d.Attrs); diff != "" {
				t.Errorf("template %s (-sent +read):\n%s", tpl.Name, diff)
			}
			if len(body) > frame.MaxBody || anyMacro.Match(body) {
				t.Errorf("template %s: too large or a macro is left:\n%s", tpl.Name, body)
			}
			if atm, _ := event.Lookup(attrs, "atm"); atm != "00000007" {
				t.Errorf("template %s: atm %q", tpl.Name, atm)
			}
		}
	}
}

// The manual's example, attribute by attribute.
func TestManualsExample(t *testing.T) {
	t.Parallel()
	got := templateNamed(t, "proatm-started").Expand(Moment{"40", time.Unix(1290606064, 0)}, rand.New(rand.NewPCG(0, 0)))
	want := []event.Attr{
		{Name: "severity", Value: "normal"},
		{Name: "device", Value: "12"},
		{Name: "message", Value: "Запущено терминальное ПО ProATM"},
		{Name: "agent", Value: "ProATM"},
		{Name: "service_id", Value: "Ogre.exe"},
		{Name: "atm", Value: "00000040"},
		{Name: "eventtime", Value: "1290606064"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCommonMacros(t *testing.T) {
	t.Parallel()
	m := Moment{"1234567", time.Date(2024, 2, 3, 4, 5, 6, 0, time.UTC)}
	got := expand("#EVENT_TIME# #EVENT_TIME_FORMATTED# #TERMINAL_ID# #PROSET_MACHINE_NO# #PROATM_VERSION# 1# ##", func(n string) string { return commonMacros[n](m) })
	if want := "1706933106 2024.02.03 04:05:06 01234567 234567 5.5.0.16499 1# ##"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCashUnitsKeepEveryCharacter(t *testing.T) {
	t.Parallel()
	attrs := templateNamed(t, "cim-cash-units").Expand(Moment{"40", time.Unix(0, 0)}, rand.New(rand.NewPCG(0, 0)))
	read, err := proatm.Attributes(proatm.Event(attrs))
	if err != nil {
		t.Fatal(err)
	}
	message, _ := event.Lookup(read, "message")
	for _, part := range []string{"<CimCashUnitInfo>\n", "<strUnitID>FLBV </strUnitID>", "<strCurrencyID>   </strCurrencyID>", "</CimCashUnitInfo>"} {
		if !strings.Contains(message, part) {
			t.Errorf("%q is lost", part)
		}
	}
}

func TestTemplateErrors(t *testing.T) {
	t.Parallel()
	const good = "[x 1]\nseverity = normal\ndevice = 0\n"
	for _, c := range []struct{ name, text, want string }{
		{"unknown macro", good + "message = a #TERMINAL_ID# #NOPE#\n", "t.txt:1: template x: field message: unknown macro #NOPE#"},
		{"macro of one case only", good + "message = #A#\ncase\n#A# = 1\ncase\n", "template x: field message: unknown macro #A#"},
		{"unknown macro in a value", good + "message = #A#\n#A# = #B#\n#B# = 1\n", "template x: macro #A#: unknown macro #B#"},
		{"unused macro", good + "#A# = 1\n", "template x: macro #A# is not used"},
		{"macro of table 1 set", good + "message = #TERMINAL_ID#\n#TERMINAL_ID# = 1\n", "t.txt:5: template x: macro #TERMINAL_ID# is one of table 1"},
		{"macro twice", good + "message = #A#\n#A# = 1\n#A# = 2\n", "t.txt:6: template x: macro #A# stands twice"},
		{"missing file", good + "message = #A#\n#A# = @none.xml\n", "none.xml"},
		{"field twice", good + "device = 1\n", "t.txt:4: template x: field device stands twice"},
		{"no device", "[x 1]\nseverity = normal\n", "field device is mandatory"},
		{"no head", "severity = normal\n", "before the first"},
		{"bad head", "[x]\n", "is not [NAME WEIGHT]"},
		{"same name", good + good, "a template of this name begins in line 1"},
		{"no value", good + "message\n", "neither field = value nor #MACRO# = value"},
		{"nothing", "# a comment\n", "no templates"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseTemplates(fstest.MapFS{"t.txt": {Data: []byte(c.text)}}, "t.txt")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestTemplatesWithCRLF(t *testing.T) {
	t.Parallel()
	fs := fstest.MapFS{"t.txt": {Data: []byte("[x 1]\r\nseverity = normal\r\ndevice = 0\r\nmessage = #A#\r\n#A# = @a\r\n")}, "a": {Data: []byte("1\r\n2\r\n")}}
	all, err := ParseTemplates(fs, "t.txt")
	if err != nil {
		t.Fatal(err)
	}
	attrs := all[0].Expand(Moment{}, rand.New(rand.NewPCG(0, 0)))
	if m, _ := event.Lookup(attrs, "message"); m != "1\n2" {
		t.Errorf("message %q", m)
	}
}

func templateNamed(t *testing.T, name string) *Template {
	t.Helper()
	all := Templates()
	i := slices.IndexFunc(all, func(t Template) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("no template %s", name)
	}
	return &all[i]
}
