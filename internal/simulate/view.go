package simulate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"vestnik/internal/event"
	"vestnik/internal/mask"
)

// A View shows what a simulator does: a line per arrival or answer, a table at
// the end. Safe for concurrent use; a View is not copied.
type View struct {
	Out   io.Writer
	Color bool // severities in colour: for a terminal
	JSON  bool // JSON lines instead of text, the summary too
	Quiet bool // the summary only

	mu sync.Mutex
}

// maxShown is how much of a message fits into a line.
const maxShown = 60

// Arrival shows an event that reached a monitoring system.
func (v *View) Arrival(a Arrival) {
	if v.Quiet {
		return
	}
	if v.JSON {
		v.json(a)
		return
	}
	var marks []string
	mark := func(on bool, text string) {
		if on {
			marks = append(marks, "["+text+"]")
		}
	}
	mark(a.Replay != "", "replay "+a.Replay)
	mark(a.Copy > 1 && !a.Repeat, fmt.Sprintf("copy %d", a.Copy))
	mark(a.Repeat, "repeat")
	mark(a.Disorder, "out of order")
	mark(a.Problem != "", "invalid: "+a.Problem)
	terminal := cmp.Or(a.Terminal, "-")
	v.line(a.Time, terminal, a.Attr("severity"), a.Attr("device"), answerText(a.Status), a.Attr("message"), strings.Join(marks, " "))
}

// Posted shows a result that was posted to ПроКСИМА.
func (v *View) Posted(r CommandResult) {
	if v.Quiet {
		return
	}
	if v.JSON {
		v.json(r)
		return
	}
	head := r.Answer.Head
	for i, one := range r.Answer.Results {
		if i == 0 || head.Code == 0 && one.Code != 0 {
			head = one.Head // what went wrong first, else the first
		}
	}
	text, notes := fmt.Sprintf("%s %s: code %d %s", r.Name, r.ID, head.Code, head.Description), ""
	switch {
	case r.Problem != "":
		text, notes = "result", "[invalid: "+r.Problem+"]"
	case r.Changed:
		notes = "[unlike the first]"
	case r.Repeat:
		notes = "[repeat]"
	}
	v.line(r.Time, cmp.Or(r.Terminal, "-"), cmp.Or(head.Status, "-"), "cmd", answerText(r.Status), text, notes)
}

func answerText(status int) string {
	if status == 0 {
		return "no answer"
	}
	return fmt.Sprint(status)
}

// sentLine is the JSON line of an attempt.
type sentLine struct {
	Time      time.Time    `json:"time"`
	Terminal  string       `json:"terminal"`
	Number    int          `json:"number"`
	Template  string       `json:"template"`
	Signature string       `json:"signature"`
	Fault     Fault        `json:"fault,omitempty"`
	Attempt   int          `json:"attempt"`
	Attrs     []event.Attr `json:"attributes"`
	Code      *int         `json:"code"` // null = no answer
	Error     string       `json:"error,omitempty"`
}

// Sent shows an attempt of a Terminal; it fits Options.OnAnswer.
func (v *View) Sent(s Sent, r Result, err error) {
	if v.Quiet {
		return
	}
	now, answer, notes := time.Now(), fmt.Sprintf("code %d", r.Code), ""
	if err != nil {
		answer, notes = "no answer", err.Error()
	} else if r.Code != 0 {
		notes = r.Code.String()
	}
	if v.JSON {
		l := sentLine{now, s.Terminal, s.Number, s.Template, s.Signature, s.Fault, s.Attempt, s.Attrs, (*int)(&r.Code), ""}
		if err != nil {
			l.Code, l.Error = nil, err.Error()
		}
		v.json(l)
		return
	}
	if s.Fault != "" {
		notes = strings.TrimSpace("[fault " + string(s.Fault) + "] " + notes)
	}
	message, _ := event.Lookup(s.Attrs, "message")
	severity, _ := event.Lookup(s.Attrs, "severity")
	device, _ := event.Lookup(s.Attrs, "device")
	v.line(now, s.Terminal, severity, device, answer, message, notes)
}

// line prints the columns that all simulators share.
func (v *View) line(at time.Time, terminal, severity, device, answer, message, notes string) {
	text := fmt.Sprintf("%s  %-8s  %s  %-4s  %-9s  %s", at.Format("15:04:05.000"), shown(terminal, 8),
		v.severity(severity), shown(device, 6), answer, shown(message, maxShown))
	if notes != "" {
		text += "  " + shown(notes, 200)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintln(v.Out, text)
}

func (v *View) severity(s string) string {
	text := fmt.Sprintf("%-8s", shown(s, 8))
	colors := map[string]string{"critical": "31", "warning": "33", "normal": "32",
		"command": "36", "failed": "31"}
	if c := colors[s]; v.Color && c != "" {
		return "\x1b[" + c + "m" + text + "\x1b[0m"
	}
	return text
}

// shown cuts a text to n characters, keeps it from controlling the screen, and hides
// card numbers (SPEC 11), before they are cut.
func shown(s string, n int) string {
	s = mask.Text(s)
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }), " ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func (v *View) json(value any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := json.NewEncoder(v.Out)
	e.SetEscapeHTML(false)
	e.Encode(value)
}

// Command shows a command that an Application was handed; it fits OnCommand.
func (v *View) Command(e Executed) {
	if v.Quiet {
		return
	}
	if v.JSON {
		v.json(e)
		return
	}
	text := e.Name
	for _, p := range e.Params {
		text += " " + p.Value
	}
	kind, notes := "command", ""
	for i, c := range e.Codes {
		if c != 0 {
			kind = "failed"
		}
		notes += fmt.Sprintf("; %d %s", c, e.Texts[i])
	}
	if notes = strings.TrimPrefix(notes, "; "); e.Fault != "" {
		notes = "[fault " + string(e.Fault) + "] " + notes
	}
	v.line(e.Time, e.ATM, kind, "", "id "+e.ID, text, notes)
}

// Application shows the summary of an Application.
func (v *View) Application(c ApplicationCounts) {
	if v.JSON {
		v.json(c)
		return
	}
	rows := []row{{"messages with commands", c.Messages, true}, {"without an answer", c.Unanswered, false}}
	rows = append(rows, counted("%s", c.Commands)...)
	rows = append(rows, counted("results with code %d", c.Codes)...)
	v.table("terminal application", rows)
}
