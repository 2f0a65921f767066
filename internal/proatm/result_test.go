package proatm

import (
	"strings"
	"testing"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// SPEC 1: the answer, to the byte.
func TestResult(t *testing.T) {
	t.Parallel()
	const head = `<?xml version='1.0' encoding='UTF-8'?><monitoring><result `
	const tail = `/></monitoring>`
	for _, c := range []struct {
		code        code.Code
		description string
		want        string
	}{
		{0, "", `code='0' status='ok' source='agent' description='Сообщение доставлено'`},
		{0, "Сообщение доставлено", `code='0' status='ok' source='agent' description='Сообщение доставлено'`},
		{7, " \t", `code='7' status='warning' source='agent' description='Работа агента приостановлена, повторите отправку позже'`},
		{8, "x", `code='8' status='warning' source='agent' description='x'`},
		{3, `'a' & "b" <c>`, `code='3' status='error' source='agent' description='&apos;a&apos; &amp; &quot;b&quot; &lt;c&gt;'`},
		{5, "a\nb\tc\rd", `code='5' status='error' source='agent' description='a&#10;b&#9;c&#13;d'`},
		{6, "a\x00\xffb", "code='6' status='error' source='agent' description='a\uFFFD\uFFFDb'"},
		{999, "", `code='999' status='error' source='agent' description='Код 999'`},
	} {
		if got := string(Result(c.code, c.description)); got != head+c.want+tail {
			t.Errorf("%d %q:\n%s", c.code, c.description, got)
		}
	}
}

func TestResultOfEveryCodeIsReadBack(t *testing.T) {
	t.Parallel()
	for _, e := range code.Table {
		a, err := ParseResult(Result(e.Code, ""))
		want := Answer{int(e.Code), e.Code.Status(), "agent", e.Description}
		if err != nil || a != want {
			t.Errorf("code %d: %+v, %v", e.Code, a, err)
		}
	}
}

func TestResultFitsAFrame(t *testing.T) {
	t.Parallel()
	b := Result(code.Malformed, strings.Repeat("Ж'", 40000))
	if a, err := ParseResult(b); err != nil || len(b) > 20000 || !strings.HasPrefix(a.Description, "Ж'Ж'") {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestResultIsNotSharedByAppend(t *testing.T) {
	t.Parallel()
	a := append(Result(code.OK, ""), 'a')
	b := append(Result(code.OK, ""), 'b')
	if a[len(a)-1] != 'a' || b[len(b)-1] != 'b' {
		t.Error("two answers share memory")
	}
}

func TestParseResult(t *testing.T) {
	t.Parallel()
	good := `<?xml version="1.0" encoding="UTF-8"?>
<monitoring atm='00000040'>
   <result code='102' status='error' source='ProATM' description='Команды обработаны'/>
   <command_result code='0'><result code='5'/></command_result>
</monitoring>`
	a, err := ParseResult([]byte(good))
	if want := (Answer{102, "error", "ProATM", "Команды обработаны"}); err != nil || a != want {
		t.Errorf("%+v, %v", a, err)
	}
	for name, bad := range map[string]string{
		"nothing":     ``,
		"other root":  `<result code='0'/>`,
		"no result":   `<monitoring/>`,
		"two results": `<monitoring><result code='0'/><result code='1'/></monitoring>`,
		"too deep":    `<monitoring><a><result code='0'/></a></monitoring>`,
		"no code":     `<monitoring><result status='ok'/></monitoring>`,
		"bad code":    `<monitoring><result code='zero'/></monitoring>`,
		"cut off":     `<monitoring><result code='0'/>`,
		"HTML":        `<html><body>502 Bad Gateway</body></html>`,
	} {
		if a, err := ParseResult([]byte(bad)); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	got := string(Event([]event.Attr{{Name: "severity", Value: "normal"}, {Name: "имя", Value: "a'b\n<\"&>\t\r"}}))
	want := `<?xml version='1.0' encoding='UTF-8'?><event severity='normal' имя='a&apos;b&#10;&lt;&quot;&amp;&gt;&#9;&#13;'/>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	for atm, want := range map[string]string{"40": "00000040", "00000040": "00000040", "0": "00000000", "12345678": "12345678"} {
		if got, err := Terminal(atm); err != nil || got != want {
			t.Errorf("%q: %q, %v", atm, got, err)
		}
	}
	for _, atm := range []string{"", "123456789", "4a", " 4", "-1"} {
		if got, err := Terminal(atm); err == nil {
			t.Errorf("%q: %q", atm, got)
		}
	}
}
