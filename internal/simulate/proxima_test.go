package simulate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/event"
)

const goodEvent = `{"specversion":"1.0","type":"proatm.event","source":"/terminals/00000040","id":"ID",` +
	`"time":"2010-11-24T13:41:04Z","datacontenttype":"application/json","severity":"normal","device":"12",` +
	`"terminal":"00000040","signature":"JSON","rule":"rule1","lane":"high",` +
	`"data":{"severity":"normal","device":"12","message":"Запущено \"<&>\" ПО","z":"","atm":"40"}}`

func goodAttrs() []event.Attr {
	return []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"},
		{Name: "message", Value: `Запущено "<&>" ПО`}, {Name: "z", Value: ""}, {Name: "atm", Value: "40"}}
}

func TestProximaForms(t *testing.T) {
	t.Parallel()
	id1, id2 := newID(1), newID(2)
	e1, e2 := strings.Replace(goodEvent, "ID", id1, 1), strings.Replace(goodEvent, "ID", id2, 1)
	data := e1[strings.Index(e1, `"data":`)+7 : len(e1)-1]
	for _, c := range []struct {
		name, contentType, id, body, form string
		ids                               []string
	}{
		{"structured", "application/cloudevents+json; charset=UTF-8", "", e1, FormStructured, []string{id1}},
		{"structured with header", "application/cloudevents+json", id1, e1, FormStructured, []string{id1}},
		{"batch", "application/cloudevents-batch+json", "", "[" + e1 + ",\n" + e2 + "]", FormBatch, []string{id1, id2}},
		{"plain", "application/json", id1, data, FormPlain, []string{id1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := NewProxima(ProximaOptions{})
			base, client := serve(t, p.Monitor)
			if s := post(t, client, base+"/events", c.contentType, c.id, c.body); s != 200 {
				t.Fatalf("status %d: %+v", s, p.Arrivals())
			}
			for i, a := range p.Arrivals() {
				if diff := cmp.Diff(goodAttrs(), a.Attrs); diff != "" || a.ID != c.ids[i] || a.Terminal != "00000040" || a.Form != c.form || !a.Confirmed {
					t.Errorf("%+v\n%s", a, diff)
				}
				if c.form != FormPlain && (a.Rule != "rule1" || a.Lane != "high" || a.Signature != "JSON") {
					t.Errorf("%+v", a)
				}
			}
			if n := p.Counts(); n.Confirmed != len(c.ids) || n.Requests != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestProximaRefusesWhatDepartsFromTheSpecification(t *testing.T) {
	t.Parallel()
	p := NewProxima(ProximaOptions{})
	base, client := serve(t, p.Monitor)
	good := strings.Replace(goodEvent, "ID", newID(1), 1)
	for _, c := range []struct{ old, new, want string }{
		{`"specversion":"1.0"`, `"specversion":"0.3"`, ""},
		{`"specversion":"1.0",`, ``, "CloudEvent"},
		{`proatm.event`, `other`, "type"},
		{`/terminals/00000040`, `/terminals/00000041`, "source"},
		{`"source":"/terminals/00000040",`, ``, "source"},
		{newID(1)[:8], `zzzzzzzz`, "UUIDv7"},
		{`"time":"2010-11-24T13:41:04Z",`, ``, "no time"},
		{`2010-11-24T13:41:04Z`, `yesterday`, ""},
		{`application/json`, `text/json`, "datacontenttype"},
		{`"severity":"normal","device":"12","terminal"`, `"severity":"critical","device":"12","terminal"`, "severity and device"},
		{`"severity":"normal","device":"12","terminal"`, `"severity":"normal","terminal"`, "severity and device"},
		{`"terminal":"00000040"`, `"terminal":"40"`, "terminal"},
		{`"terminal":"00000040"`, `"terminal":40`, "terminal"},
		{`"atm":"40"`, `"atm":"41"`, "atm"},
		{`"signature":"JSON"`, `"signature":"JSO"`, "signature"},
		{`,"lane":"high"`, ``, "lane"},
		{`"lane":"high"`, `"lane":"urgent"`, "lane"},
		{`"rule":"rule1"`, `"rule":""`, "rule"},
		{`"rule":"rule1"`, `"bad_name":"x"`, "bad_name"},
		{`"rule":"rule1"`, `"Rule":"rule1"`, "Rule"},
		{`"z":""`, `"z":1`, `"z" is not a string`},
		{`"z":""`, `"z":null`, `"z" is not a string`},
		{`"z":""`, `"atm":""`, "stands twice"},
		{`"lane":"high"`, `"lane":"high","lane":"low"`, "stands twice"},
		{`"data":{"severity":"normal","device":"12",`, `"data":{"severity":"normal",`, ""},
		{`"data":`, `"data_base64":"e30=","x":`, ""},
		{`"z":""`, `"z":"` + "\xff" + `"`, "UTF-8"},
		{`"atm":"40"}}`, `"atm":"40"}} x`, ""},
		{`"atm":"40"}}`, `"atm":"40"}`, ""},
		{good, `[]`, "not a JSON object"},
		{good, ``, "not a JSON object"},
	} {
		body := strings.Replace(good, c.old, c.new, 1)
		if body == good {
			t.Fatalf("%s is not there", c.old)
		}
		s := post(t, client, base+"/events", event.JSONType, "", body)
		all := p.Arrivals()
		if a := all[len(all)-1]; s != 400 || a.Problem == "" || !strings.Contains(a.Problem, c.want) {
			t.Errorf("%s → %s: status %d, problem %q, want %q", c.old, c.new, s, a.Problem, c.want)
		}
	}
	if n := p.Counts(); n.Confirmed != 0 || n.Invalid != n.Requests {
		t.Errorf("%+v", n)
	}
}

func TestProximaRequests(t *testing.T) {
	t.Parallel()
	good := strings.Replace(goodEvent, "ID", newID(1), 1)
	other := strings.ReplaceAll(strings.Replace(goodEvent, "ID", newID(2), 1), `"lane":"high"`, `"lane":"low"`)
	for _, c := range []struct {
		name, format, contentType, id, body string
		status                              int
	}{
		{"plain where structured is wanted", FormStructured, "application/json", newID(1), `{"severity":"normal","device":"1"}`, 415},
		{"structured where plain is wanted", FormPlain, event.JSONType, "", good, 415},
		{"batch where structured is wanted", FormStructured, event.BatchType, "", "[" + good + "]", 200},
		{"no content type", "", "", "", good, 415},
		{"other charset", "", event.JSONType + "; charset=windows-1251", "", good, 415},
		{"other id in the header", "", event.JSONType, newID(9), good, 400},
		{"plain without id", "", "application/json", "", `{"severity":"normal","device":"1"}`, 400},
		{"plain without device", "", "application/json", newID(1), `{"severity":"normal"}`, 400},
		{"empty batch", "", event.BatchType, "", "[]", 400},
		{"batch of two lanes", "", event.BatchType, "", "[" + good + "," + other + "]", 400},
		{"batch with a bad event", "", event.BatchType, "", "[" + good + ",{}]", 400},
		{"no batch", "", event.BatchType, "", good, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := NewProxima(ProximaOptions{Format: c.format})
			base, client := serve(t, p.Monitor)
			if s := post(t, client, base+"/events", c.contentType, c.id, c.body); s != c.status {
				t.Errorf("status %d, want %d: %+v", s, c.status, p.Arrivals())
			}
		})
	}
}

func TestProximaReplayIsNoRepeat(t *testing.T) {
	t.Parallel()
	p := NewProxima(ProximaOptions{})
	base, client := serve(t, p.Monitor)
	good := strings.Replace(goodEvent, "ID", newID(1), 1)
	post(t, client, base+"/events", event.JSONType, "", good)
	post(t, client, base+"/events", event.JSONType, "", strings.Replace(good, `"lane"`, `"replay":"r1","lane"`, 1))
	post(t, client, base+"/events", event.JSONType, "", good)
	if n := p.Counts(); n.Replays != 1 || n.Repeats != 1 || n.Distinct != 2 {
		t.Errorf("%+v", n)
	}
}
