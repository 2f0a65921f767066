package audit

import (
	"slices"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

// States of a command in the trail.
const (
	StateOpen     = "open"     // begun, and no result is recorded (yet)
	StateDone     = "done"     // executed, with a result
	StateRefused  = "refused"  // not executed: the edge's own checks
	StateRepeated = "repeated" // not executed: answered with the result of an earlier order
)

// Row is a command as the trail shows it: what the records of its message say of it
// together. Its JSON is the line of vestnik audit --json (docs/commands.md).
type Row struct {
	Time     time.Time `json:"time"` // of its first record
	Terminal string    `json:"terminal"`
	Message  string    `json:"message"` // UUID of the message of commands that it came in
	command.Origin
	Command command.Command `json:"command"`
	State   string          `json:"state"`
	Of      string          `json:"of,omitempty"` // repeated: the message whose result was given

	// Head is what came of it: the head of the answer if the message failed as a whole, else
	// the first result that is not 0, else the first. nil = nothing is recorded.
	*command.Head
	TookMS  float64  `json:"took_ms,omitempty"`
	Results []Result `json:"results,omitempty"` // of this command; Result.Command is that of the record
}

// Failed tells whether the command did not end with code 0. What is still open has not
// failed.
func (r Row) Failed() bool { return r.Head != nil && r.Code != code.OK }

// Has tells whether a code stands in the row, in any of its results.
func (r Row) Has(c code.Code) bool {
	return r.Head != nil && r.Code == c || slices.ContainsFunc(r.Results, func(one Result) bool { return one.Code == c })
}

// Trail joins records into rows. Its zero value is ready. It keeps what has no result
// yet, and nothing else.
type Trail struct{ open map[string][]*Row }

// Add takes the next record of a terminal and returns the rows that it tells something
// new of, in the order of their commands: new ones at "begin", "refused" and "repeated",
// those that have got their result at "end". An end without its begin, which has been
// removed or was not read, tells nothing.
func (t *Trail) Add(terminal string, r Record) []*Row {
	switch r.Kind {
	case Begin:
		return t.begin(terminal, r)
	case End:
		return t.end(r)
	case Refused:
		return whole(terminal, r, StateRefused)
	case Repeated:
		return whole(terminal, r, StateRepeated)
	}
	return nil
}

func (t *Trail) begin(terminal string, r Record) []*Row {
	rows := rowsOf(terminal, r, StateOpen)
	if t.open == nil {
		t.open = map[string][]*Row{}
	}
	t.open[r.Message] = slices.Clone(rows)
	return rows
}

// end settles the commands of its message that it has results of, and all of them if the
// message failed as a whole.
func (t *Trail) end(r Record) []*Row {
	if r.Answer == nil {
		return nil
	}
	var told []*Row
	left := 0
	for i, row := range t.open[r.Message] {
		if row == nil {
			continue // by an end before
		}
		if !row.settle(i, r, StateDone) {
			left++
			continue
		}
		t.open[r.Message][i] = nil
		told = append(told, row)
	}
	if left == 0 {
		delete(t.open, r.Message)
	}
	return told
}

// whole are the rows of a record that stands alone.
func whole(terminal string, r Record, state string) []*Row {
	rows := rowsOf(terminal, r, state)
	for i, row := range rows {
		row.settle(i, r, state)
	}
	return rows
}

func rowsOf(terminal string, r Record, state string) []*Row {
	list := make([]*Row, len(r.Commands))
	for i, c := range r.Commands {
		list[i] = &Row{Time: r.Time, Terminal: terminal, Message: r.Message, Command: c, State: state, Of: r.Of}
		if r.Origin != nil {
			list[i].Origin = *r.Origin
		}
	}
	return list
}

// settle notes what a record says of its command i; false = nothing.
func (r *Row) settle(i int, from Record, state string) bool {
	a := from.Answer
	if a == nil {
		return false
	}
	var list []Result
	for _, one := range a.Results {
		if one.Command == i {
			list = append(list, one)
		}
	}
	switch {
	case a.Code != code.OK:
		r.Head = &a.Head
	case len(list) > 0:
		worst := max(0, slices.IndexFunc(list, func(one Result) bool { return one.Code != code.OK }))
		r.Head = &list[worst].Head
	default:
		return false
	}
	r.State, r.Results, r.TookMS = state, list, from.TookMS
	return true
}
