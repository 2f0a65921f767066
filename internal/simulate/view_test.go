package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

func sampleArrival() Arrival {
	return Arrival{N: 1, Time: time.Date(2024, 1, 2, 3, 4, 5, 6e6, time.UTC), Terminal: "00000040", Status: 200, Copy: 2, Repeat: true,
		Attrs: []event.Attr{{Name: "severity", Value: "critical"}, {Name: "device", Value: "CIM"}, {Name: "message", Value: "Сейф\x1b[2J\n" + strings.Repeat("ж", 100)}}}
}

func TestViewOfAnArrival(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	(&View{Out: &b}).Arrival(sampleArrival())
	want := "03:04:05.006  00000040  critical  CIM   200        Сейф [2J " + strings.Repeat("ж", 50) + "…  [repeat]\n"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

func TestViewColour(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	(&View{Out: &b, Color: true}).Arrival(sampleArrival())
	if !strings.Contains(b.String(), "\x1b[31mcritical\x1b[0m") {
		t.Errorf("%q", b.String())
	}
}

func TestViewQuietAndJSON(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	quiet := &View{Out: &b, Quiet: true}
	quiet.Arrival(sampleArrival())
	quiet.Sent(Sent{}, Result{}, nil)
	if b.Len() != 0 {
		t.Errorf("%q", b.String())
	}
	v := &View{Out: &b, JSON: true}
	v.Arrival(sampleArrival())
	v.Sent(Sent{Template: "heartbeat"}, Result{Code: code.Paused}, nil)
	v.Sent(Sent{Fault: FaultGarbage}, Result{}, errors.New("gone"))
	v.Counts("uralsib", newCounts())
	v.Report(newReport())
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), b.String())
	}
	for i, want := range []string{`"repeat":true`, `"code":7`, `"code":null,"error":"gone"`, `"system":"uralsib","requests":0`, `"confirmed":0`} {
		if !json.Valid([]byte(lines[i])) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d: %s, want %s", i, lines[i], want)
		}
	}
}

func TestViewSummary(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	v := &View{Out: &b}
	c := newCounts()
	c.Events, c.Status[503] = 12, 7
	v.Counts("uralsib", c)
	r := newReport()
	r.Events, r.Codes[code.NotStored] = 5, 3
	r.fault(FaultSlow).Sent = 2
	v.Report(r)
	for _, want := range []string{"\nuralsib\n", "12 events, copies included\n", "7 answered with status 503\n", "5 events\n", "3 answered with code 6\n", "2 sent with fault slow\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
