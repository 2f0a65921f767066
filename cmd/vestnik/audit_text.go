package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"vestnik/internal/audit"
)

// auditPrinter prints rows, as a table or as JSON.
type auditPrinter struct {
	*auditFlags
	out  io.Writer
	page page
}

var auditColumns = []column{{"TIME", 19, false}, {"TERMINAL", 8, false}, {"WAY", 7, false}, {"WHO", 16, false}, {"COMMAND", 26, false},
	{"ID", 10, false}, {"CODE", 4, true}, {"TOOK", 7, true}, {"RESULT", 0, false}}

// list prints what was found and, below a table, the sums.
func (p auditPrinter) list(found *findings) error {
	if !p.json && (len(found.rows) > 0 || p.follow) {
		fmt.Fprintln(p.page, p.page.paint(p.page.line(auditColumns, titles(auditColumns)), "1"))
	}
	for _, row := range found.rows {
		if err := p.row(row); err != nil {
			return err
		}
	}
	if p.json || p.follow {
		return nil
	}
	if found.more > 0 || found.older {
		fmt.Fprintf(p.page, "… only the newest %d (--limit 0 shows all)\n", p.limit)
	}
	if found.begins.After(p.from) {
		fmt.Fprintf(p.page, "The record begins at %s: what was older has made room (audit_bytes, audit_age).\n", found.begins.Local().Format(time.DateTime))
	}
	_, err := fmt.Fprintln(p.page, auditSums(found.rows))
	return err
}

func (p auditPrinter) row(r *audit.Row) error {
	if !p.json {
		_, err := fmt.Fprintln(p.page, auditLine(p.page, r, time.Now()))
		return err
	}
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("print command %s: %w", r.Command.ID, err)
	}
	return nil
}

func auditLine(p page, r *audit.Row, now time.Time) string {
	name := r.Command.Name
	for _, param := range r.Command.Params {
		name += " " + param.Value
	}
	number, took := "-", "-"
	if r.Head != nil {
		number = fmt.Sprint(int(r.Code))
	}
	if r.TookMS > 0 {
		took = tookText(time.Duration(r.TookMS * float64(time.Millisecond)))
	}
	cells := []string{r.Time.Local().Format(time.DateTime), r.Terminal, r.Way, cmp.Or(r.Who, r.Remote, "-"), name, r.Command.ID, number, took, auditResult(r, now)}
	return p.line(auditColumns, cells, "", "", "", "", "", "", auditColor(r))
}

func auditColor(r *audit.Row) string {
	switch {
	case r.State == audit.StateOpen:
		return "33"
	case r.Failed():
		return "31"
	}
	return "32"
}

// auditResult says in words what became of a command.
func auditResult(r *audit.Row, now time.Time) string {
	text := ""
	if r.Head != nil {
		text = r.Description
	}
	switch {
	case forgotten(r, now):
		return "no result recorded"
	case r.State == audit.StateOpen:
		return "still running"
	case r.State == audit.StateRefused:
		return "refused: " + text
	case r.State == audit.StateRepeated:
		return "repeat of " + r.Of + ": " + text
	}
	return text
}

// auditSums says how many commands ended how.
func auditSums(rows []*audit.Row) string {
	if len(rows) == 0 {
		return "no commands"
	}
	counts := map[string]int{}
	for _, r := range rows {
		switch {
		case r.Failed():
			counts["failed"]++
		case r.Head == nil:
			counts["without a result"]++
		default:
			counts["ok"]++
		}
	}
	var list []string
	for _, what := range []string{"ok", "failed", "without a result"} {
		if n := counts[what]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, what))
		}
	}
	return counted(len(rows), "command") + ": " + strings.Join(list, ", ")
}
