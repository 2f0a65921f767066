package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
)

// told is what Add returns, as "id state code" each.
func told(rows []*audit.Row) string {
	var list []string
	for _, r := range rows {
		s := r.Command.ID + " " + r.State
		if r.Head != nil {
			s += fmt.Sprintf(" %d", r.Code)
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func answerWith(head code.Code, results ...audit.Result) *audit.Answer {
	return &audit.Answer{ATM: atm, Head: command.Own(head, ""), Results: results}
}

func of(i int, c code.Code) audit.Result { return audit.Result{Command: i, Head: command.Own(c, "")} }

// A message is joined whichever way its results come; each command is told once begun
// and once settled.
func TestTrail(t *testing.T) {
	t.Parallel()
	three := []command.Command{cmd("GET_STATUS 1 CIM CDM"), cmd("REBOOT 2"), cmd("GET_DEVICE_INFO 3")}
	begin := func(id string) audit.Record {
		return audit.Record{Kind: audit.Begin, Message: id, Time: time.Now(), Commands: three, Origin: &command.Origin{Way: "nats", Who: "me"}}
	}
	end := func(id string, a *audit.Answer) audit.Record {
		return audit.Record{Kind: audit.End, Message: id, Answer: a, TookMS: 1}
	}
	var trail audit.Trail
	for i, step := range []struct {
		audit.Record
		want string
	}{
		{end("a", answerWith(0, of(0, 0))), ""}, // its begin is gone
		{begin("a"), "1 open, 2 open, 3 open"},
		{begin("b"), "1 open, 2 open, 3 open"},
		{end("a", answerWith(0, of(1, 109))), "2 done 109"},                               // after a restart
		{end("b", answerWith(105)), "1 done 105, 2 done 105, 3 done 105"},                 // as a whole
		{end("a", answerWith(0, of(0, 0), of(0, 151), of(2, 0))), "1 done 151, 3 done 0"}, // asked anew
		{end("a", answerWith(0, of(0, 0), of(1, 0), of(2, 0))), ""},                       // nothing is left open
		{end("c", nil), ""},
		{audit.Record{Kind: audit.Refused, Message: "d", Commands: three[1:2], Answer: answerWith(0, of(0, 106))}, "2 refused 106"},
		{audit.Record{Kind: audit.Refused, Message: "d", Commands: three, Answer: answerWith(7)}, "1 refused 7, 2 refused 7, 3 refused 7"},
		{audit.Record{Kind: audit.Repeated, Message: "e", Of: "a", Commands: three[1:2], Answer: answerWith(0, of(0, 0))}, "2 repeated 0"},
		{audit.Record{Kind: "later", Message: "f", Commands: three}, ""},
	} {
		rows := trail.Add(atm, step.Record)
		if got := told(rows); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		for _, r := range rows {
			if r.Terminal != atm || r.Message == "" || r.State == audit.StateDone && (r.Way != "nats" || r.Who != "me" || r.TookMS != 1) {
				t.Errorf("step %d: %+v", i, r)
			}
		}
	}
}

// What the edge records and what the trail shows fit together.
func TestTrailOfTheJournal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.send(command.WayNATS, "REBOOT 1")
	d.send(command.WayNATS, "GET_STATUS 2 CIM", "REBOOT 1")
	var trail audit.Trail
	var rows []*audit.Row
	for _, r := range d.records() {
		for _, row := range trail.Add(atm, r) {
			if row.State != audit.StateDone {
				rows = append(rows, row)
			}
		}
	}
	if got := told(rows); got != "1 done 0, 2 done 0, 1 repeated 0" || rows[2].Of != rows[0].Message {
		t.Errorf("%s", got)
	}
}
