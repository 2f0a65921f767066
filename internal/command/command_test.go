package command_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

func params(values ...string) []command.Param {
	var list []command.Param
	for _, v := range values {
		list = append(list, command.Param{Value: v})
	}
	return list
}

// SPEC 7: the edge checks only that a required parameter is there.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command.Command
		want code.Code
	}{
		{command.Command{Name: "REBOOT"}, code.OK},
		{command.Command{Name: "GO_IN_SERVICE"}, code.OK},
		{command.Command{Name: "GO_OUT_OF_SERVICE"}, code.OK},
		{command.Command{Name: "GET_DEVICE_INFO"}, code.OK},
		{command.Command{Name: "GET_DEVICE_INFO", Params: params("software", "CIM.CashCode2")}, code.OK},
		{command.Command{Name: "GET_STATUS", Params: params("no such device")}, code.OK},
		{command.Command{Name: "REBOOT", Params: params("whatever")}, code.OK},
		{command.Command{Name: "GET_STATUS"}, code.MissingParameter},
		{command.Command{Name: "GET_STATUS", Params: params("CIM", " ")}, code.MissingParameter},
		{command.Command{Name: "RESET"}, code.MissingParameter},
		{command.Command{Name: "GET_CASH_UNIT_INFO"}, code.MissingParameter},
		{command.Command{Name: "GET_CIM_NOTETYPES"}, code.MissingParameter},
		{command.Command{Name: "reboot"}, code.UnknownCommand},
		{command.Command{Name: "FORMAT"}, code.UnknownCommand},
	} {
		got := code.OK
		if err := c.Check(); err != nil {
			got = err.Code
		}
		if got != c.want {
			t.Errorf("%v: %d, want %d", c.Command, got, c.want)
		}
	}
}

// SPEC 7: a command with n parameters has n command_results with its id, in order, each
// with param; without parameters one (param=” for GET_DEVICE_INFO).
func TestFail(t *testing.T) {
	t.Parallel()
	shape := func(c command.Command) string {
		var b strings.Builder
		for _, r := range c.Fail(code.New(code.NotPermitted, "")) {
			fmt.Fprintf(&b, "%s %d", r.ID, r.Code)
			if r.Param != nil {
				fmt.Fprintf(&b, " %q", *r.Param)
			}
			b.WriteString("; ")
		}
		return b.String()
	}
	for _, c := range []struct {
		command.Command
		want string
	}{
		{command.Command{ID: "1", Name: "REBOOT"}, "1 106; "},
		{command.Command{ID: "2", Name: "GET_STATUS", Params: params("CIM", "CDM")}, `2 106 "CIM"; 2 106 "CDM"; `},
		{command.Command{ID: "3", Name: "GET_DEVICE_INFO"}, `3 106 ""; `},
	} {
		if got := shape(c.Command); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// An application that answers each command; it keeps what it was asked.
type application struct {
	asked []command.Message
	head  command.Head
}

func (a *application) Execute(_ context.Context, m command.Message) command.Answer {
	a.asked = append(a.asked, m)
	out := command.Answer{Head: a.head}
	for i, c := range m.Commands {
		for range c.Results() {
			out.Results = append(out.Results, command.Result{Command: i, ID: c.ID, Name: c.Name, XML: []byte("<x/>")})
		}
	}
	return out
}

type desk struct {
	*command.Checks
	app     *application
	refused []command.Message
	why     *code.Error
}

func newDesk() *desk {
	d := &desk{app: &application{head: command.Done()}}
	d.Checks = &command.Checks{ATM: "00000040", Next: d.app, Same: func(atm string) bool { return strings.TrimLeft(atm, "0") == "40" },
		Refuse:  func() *code.Error { return d.why },
		Refused: func(_ context.Context, m command.Message, _ command.Answer) { d.refused = append(d.refused, m) }}
	return d
}

func codes(a command.Answer) string {
	s := strconv.Itoa(int(a.Code)) + ":"
	for _, r := range a.Results {
		s += fmt.Sprintf(" %s=%d", r.ID, r.Code)
	}
	return s
}

// SPEC 7: where a code stands; own results in the place of their command.
func TestChecks(t *testing.T) {
	t.Parallel()
	get := command.Command{ID: "1", Name: "GET_STATUS", Params: params("CIM", "CDM")}
	bad := command.Command{ID: "2", Name: "FORMAT"}
	bare := command.Command{ID: "3", Name: "RESET"}
	reboot := command.Command{ID: "4", Name: "REBOOT"}
	paused, twin := code.New(code.Paused, ""), code.New(code.NotPermitted, "a twin")
	silent := command.Own(code.ApplicationSlow, "")
	for name, c := range map[string]struct {
		atm       string
		commands  []command.Command
		refuse    *code.Error
		forbidden *code.Error
		app       *command.Head
		want      string
		asked     int // commands
		refused   int
	}{
		"all pass":         {"40", []command.Command{get, reboot}, nil, nil, nil, "0: 1=0 1=0 4=0", 2, 0},
		"in their places":  {"", []command.Command{bad, get, bare, reboot}, nil, nil, nil, "0: 2=101 1=0 1=0 3=103 4=0", 2, 2},
		"none passes":      {"00000040", []command.Command{bad, bare}, nil, nil, nil, "0: 2=101 3=103", 0, 2},
		"no commands":      {"40", nil, nil, nil, nil, "0:", 0, 0},
		"another terminal": {"41", []command.Command{get}, nil, nil, nil, "102:", 0, 1},
		"another, empty":   {"41", nil, nil, nil, nil, "102:", 0, 0},
		"paused":           {"", []command.Command{get, bad}, paused, nil, nil, "7:", 0, 2},
		"a twin":           {"", []command.Command{get, bad}, twin, nil, nil, "0: 1=106 1=106 2=106", 0, 2},
		"a stranger":       {"", []command.Command{reboot}, nil, code.New(code.NotPermitted, ""), nil, "0: 4=106", 0, 1},
		"silent":           {"", []command.Command{bad, get}, nil, nil, &silent, "105:", 1, 1},
	} {
		d := newDesk()
		d.why = c.refuse
		if c.app != nil {
			d.app.head = *c.app
		}
		a := d.Execute(t.Context(), command.Message{ATM: c.atm, Commands: c.commands, Forbidden: c.forbidden})
		asked, refused := 0, 0
		for _, m := range d.app.asked {
			asked += len(m.Commands)
		}
		for _, m := range d.refused {
			refused += len(m.Commands)
		}
		if got := codes(a); got != c.want || asked != c.asked || refused != c.refused {
			t.Errorf("%s: %s, asked %d, refused %d; want %s, %d, %d", name, got, asked, refused, c.want, c.asked, c.refused)
		}
		if want := c.atm; want == "" && a.ATM != "00000040" || want != "" && a.ATM != want {
			t.Errorf("%s: answer of terminal %q", name, a.ATM)
		}
		if a.Description == "" {
			t.Errorf("%s: no description", name)
		}
	}
}

// SPEC 7: a command without id gets one, a number.
func TestIDs(t *testing.T) {
	t.Parallel()
	d := newDesk()
	given := []command.Command{{Name: "REBOOT"}, {ID: "x", Name: "REBOOT"}, {Name: "REBOOT"}}
	a := d.Execute(t.Context(), command.Message{Commands: given})
	first, third := a.Results[0].ID, a.Results[2].ID
	if first == "" || first == third || strings.Trim(first, "0123456789") != "" || a.Results[1].ID != "x" || given[0].ID != "" {
		t.Errorf("%s", codes(a))
	}
}

func TestParallel(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.Checks.Parallel = 1
	inside, leave := make(chan struct{}), make(chan struct{})
	d.Next = waiting{inside, leave}
	m := command.Message{Commands: []command.Command{{ID: "1", Name: "REBOOT"}}}
	first := make(chan command.Answer)
	go func() { first <- d.Execute(context.Background(), m) }()
	<-inside
	if got := codes(d.Execute(t.Context(), m)); got != "8:" {
		t.Error(got)
	}
	close(leave)
	<-first
	go func() { <-inside }()
	if got := codes(d.Execute(t.Context(), m)); got != "0:" {
		t.Error(got)
	}
}

type waiting struct{ inside, leave chan struct{} }

func (w waiting) Execute(context.Context, command.Message) command.Answer {
	w.inside <- struct{}{}
	<-w.leave
	return command.Answer{Head: command.Done()}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	two := command.Command{ID: "1", Name: "GET_STATUS", Params: params("CIM", "CDM")}
	one := command.Command{ID: "1", Name: "REBOOT"}
	other := command.Command{ID: "2", Name: "RESET", Params: params("CIM")}
	results := func(ids string) (list []command.Result) {
		for _, id := range strings.Fields(ids) {
			list = append(list, command.Result{ID: id})
		}
		return list
	}
	for _, c := range []struct {
		commands []command.Command
		ids      string
		want     []int // nil = refused
	}{
		{[]command.Command{one}, "1", []int{0}},
		{[]command.Command{two, other}, "1 1 2", []int{0, 0, 1}},
		{[]command.Command{two, other}, "1 2", nil},
		{[]command.Command{{ID: "1", Name: "REBOOT", Params: params("x", "y")}, other}, "1 2", []int{0, 1}},
		{[]command.Command{{ID: "1", Name: "REBOOT", Params: params("x", "y")}, other}, "1 1 2", []int{0, 0, 1}},
		{[]command.Command{two, one}, "1 1 1", []int{0, 0, 1}},
		{[]command.Command{one}, "7", nil},
		{[]command.Command{one}, "", nil},
		{[]command.Command{one}, "1 1", nil},
		{[]command.Command{two, other}, "2 1", nil},
		{[]command.Command{two, other}, "1 1 2 2", nil},
	} {
		list := results(c.ids)
		err := command.Match(c.commands, list)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.ids, err)
			continue
		}
		var got []int
		for _, r := range list {
			got = append(got, r.Command)
		}
		if err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %s", c.ids, cmp.Diff(c.want, got))
		}
	}
}

// A result for another parameter is the answer to something else (SPEC 7: in order, each
// with its param).
func TestMatchParams(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, asked, answered string // "-" = the result has no param
		says                  string // "" = taken
	}{
		{"GET_STATUS", "CIM CDM", "CIM CDM", ""},
		{"GET_STATUS", "ProATM CIM", "proatm -", ""},
		{"GET_STATUS", "CIM", "-", ""},
		{"GET_STATUS", "CIM CDM", "CDM CIM", "command_result 1 с id «1» – для param «CDM», а не «CIM»"},
		{"RESET", "CIM CDM", "CIM CIM", "command_result 2 с id «1» – для param «CIM», а не «CDM»"},
		{"GET_STATUS", "CIM", "_", "для param «», а не «CIM»"},
		{"GET_DEVICE_INFO", "", "_", ""},
		{"GET_DEVICE_INFO", "", "software", ""},
		{"GET_DEVICE_INFO", "software", "SOFTWARE", ""},
		{"GET_DEVICE_INFO", "software", "CIM", "для param «CIM», а не «software»"},
		{"REBOOT", "now", "_", ""},
		{"REBOOT", "", "x", ""},
	} {
		cmd := command.Command{ID: "1", Name: c.name, Params: params(strings.Fields(c.asked)...)}
		var results []command.Result
		for _, p := range strings.Fields(c.answered) {
			r := command.Result{ID: "1"}
			if p != "-" {
				p = " " + strings.Trim(p, "_") + "\n"
				r.Param = &p
			}
			results = append(results, r)
		}
		err := command.Match([]command.Command{cmd}, results)
		var bad *code.Error
		if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &bad) || bad.Code != code.BadAnswer || bad.Detail == "" || !strings.Contains(bad.Description, c.says)) {
			t.Errorf("%s %s answered %s: %v, want %q", c.name, c.asked, c.answered, err, c.says)
		}
	}
}

// A message without commands that holds something else says what: a typing mistake, perhaps.
func TestIgnored(t *testing.T) {
	t.Parallel()
	for ignored, want := range map[string]string{"": "В сообщении нет команд", "comand": "В сообщении нет команд, пропущен неизвестный элемент «comand»"} {
		if a := newDesk().Execute(t.Context(), command.Message{Ignored: ignored}); a.Code != code.OK || a.Description != want {
			t.Errorf("%q: %+v", ignored, a)
		}
	}
}

// What cannot be answered in a frame is not executed: a message of 64 KB with 4,000
// parameters and a long id would be answered with 100 MB.
func TestAnswerTooLong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id     string
		params int
		want   string
	}{{"1", 800, "0:"}, {"1", 2000, "108:"}, {strings.Repeat("9", 10_000), 7, "108:"}, {strings.Repeat("9", 10_000), 2, "0:"}} {
		for _, name := range []string{"GET_STATUS", "REBOOT", "NOSUCH"} {
			d := newDesk()
			a := d.Execute(t.Context(), command.Message{Commands: []command.Command{{ID: c.id, Name: name, Params: params(slices.Repeat([]string{"x"}, c.params)...)}}})
			if got := codes(a); !strings.HasPrefix(got, c.want) || a.Code != 0 && (len(d.app.asked) > 0 || len(d.refused) != 1) {
				t.Errorf("%s with %d parameters: %.40s, asked %d, refused %d", name, c.params, got, len(d.app.asked), len(d.refused))
			}
		}
	}
}
