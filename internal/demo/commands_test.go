package demo

import (
	"slices"
	"strings"
	"testing"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
)

// orderBook is a small demo's commands without programs: GET_STATUS, RESET and RESET again,
// and everything adds up.
type orderBook struct {
	asked    []asked
	records  []audit.Record
	executed []simulate.Executed
}

func newOrderBook() *orderBook {
	get, reset := toDevice(command.GetStatus, "CIM"), toDevice(command.Reset, "CIM")
	get.ID, reset.ID = "1", "2"
	b := &orderBook{}
	for _, c := range []command.Command{get, reset, reset} {
		b.asked = append(b.asked, asked{Command: c, answer: &command.Answer{Head: command.Done(), Results: []command.Result{{Head: command.Done()}}}})
	}
	b.execute(get)
	b.execute(reset)
	b.records = append(b.records, audit.Record{Kind: audit.Repeated, Message: "r", Of: "2", Commands: []command.Command{reset}, Answer: answered(code.OK)})
	return b
}

func answered(c code.Code) *audit.Answer {
	return &audit.Answer{Head: command.Done(), Results: []audit.Result{{Head: command.Own(c, "")}}}
}

// execute adds what is left of a command that is executed.
func (b *orderBook) execute(c command.Command) {
	b.records = append(b.records, audit.Record{Kind: audit.Begin, Message: c.ID, Commands: []command.Command{c}},
		audit.Record{Kind: audit.End, Message: c.ID, Answer: answered(code.OK)})
	b.executed = append(b.executed, simulate.Executed{ID: c.ID, Name: c.Name, Params: c.Params})
}

func (b *orderBook) sums() (s Sums) {
	t := newTally(nil, nil, nil)
	for _, r := range b.records {
		t.command(terminal, r)
	}
	s.commandSums(b.asked, t.recorded(), b.executed)
	return s
}

func TestCommandSumsHold(t *testing.T) {
	t.Parallel()
	s := newOrderBook().sums()
	if want := (CommandSums{Asked: 3, OK: 3, Executed: 2, Repeated: 1, Recorded: 3}); !s.Holds() || s.Commands != want {
		t.Errorf("%+v, failed: %q", s.Commands, s.failed())
	}
}

// Whatever goes wrong with commands, a sum shows it; what others ask is theirs.
func TestCommandSumsFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		harm func(*orderBook)
		want string // "" = holds
	}{
		"no answer":                          {func(b *orderBook) { b.asked[1].answer = nil }, "asked 3 = answered with code 0 2 = in AUDIT 3"},
		"a result with a code":               {func(b *orderBook) { b.asked[1].answer.Results[0].Code = code.UnknownDevice }, "answered with code 0 2"},
		"not recorded":                       {func(b *orderBook) { b.records = b.records[2:] }, "= in AUDIT 2"},
		"recorded twice":                     {func(b *orderBook) { b.records = append(b.records, b.records[4]) }, "= in AUDIT 4"},
		"another recorded in its place":      {func(b *orderBook) { b.records[0].Commands[0].Params = nil }, "= in AUDIT 2"},
		"no result recorded":                 {func(b *orderBook) { b.records = slices.Delete(b.records, 1, 2) }, "without a result or with another code than 0: 1"},
		"a code recorded":                    {func(b *orderBook) { b.records[1].Answer = answered(code.OutcomeUnknown) }, "without a result or with another code than 0: 1"},
		"answered and not executed":          {func(b *orderBook) { b.executed = b.executed[1:] }, "application 1 = asked 3 - answered from memory 1"},
		"repeated and executed":              {func(b *orderBook) { b.executed = append(b.executed, b.executed[1]) }, "application 3 = asked 3 - answered from memory 1"},
		"GET executed in the place of RESET": {func(b *orderBook) { b.executed[1] = b.executed[0] }, "application 2 = asked 3"},
		"no memory": {func(b *orderBook) {
			b.records = b.records[:4]
			b.execute(b.asked[2].Command)
		}, "executed again under the same id: 1"},
		"others ask too": {func(b *orderBook) { b.execute(command.Command{ID: "x", Name: command.GetDeviceInfo}) }, ""},
		"an acting command of others between": {func(b *orderBook) {
			b.records = b.records[:4]
			b.execute(command.Command{ID: "x", Name: command.GoOutOfService})
			b.execute(b.asked[2].Command)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newOrderBook()
			test.harm(b)
			if s := b.sums(); s.Holds() != (test.want == "") || !strings.Contains(s.failed(), test.want) {
				t.Errorf("failed sums %q, want one that says %q", s.failed(), test.want)
			}
		})
	}
}

// The screen says "from memory" of what AUDIT has as a repeat, and of nothing else.
func TestRepeatIsShown(t *testing.T) {
	t.Parallel()
	b := newOrderBook()
	tally := newTally(nil, nil, nil)
	for i, r := range b.records {
		tally.command(terminal, r)
		var got []bool
		for _, s := range shots(b.asked, tally.recorded()) {
			got = append(got, s.repeated)
		}
		if want := []bool{false, false, i == len(b.records)-1}; !slices.Equal(got, want) {
			t.Errorf("after record %d: repeated %v, want %v", i, got, want)
		}
	}
	if news := tally.news(); len(news) != 1 || !strings.Contains(news[0], "RESET CIM came again under its id") {
		t.Errorf("news %q", news)
	}
}
