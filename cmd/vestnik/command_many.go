package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

// many asks all terminals and shows their answers. When ctx ends it shows what is known.
func (f *commandFlags) many(ctx context.Context, cmd *cobra.Command, l *link) error {
	out, errs := cmd.OutOrStdout(), cmd.ErrOrStderr()
	f.tellID(errs)
	a := newAsker(l, f)
	replies := make([]reply, len(f.atms))
	for i, atm := range f.atms {
		replies[i] = reply{atm: atm, err: errNotAsked}
	}
	err := f.gather(ctx, a, replies, out, errs)
	if err == nil {
		err = f.tell(a, replies, out, errs)
	}
	if i := slices.IndexFunc(replies, reply.unknown); i >= 0 {
		f.tellRepeat(errs, replies[i])
	}
	if err != nil {
		return err
	}
	if n := notOK(replies); n > 0 {
		return fmt.Errorf("%s did not succeed at %d of %d terminals", f.what.Name, n, len(replies))
	}
	return nil
}

func notOK(replies []reply) int {
	n := 0
	for _, r := range replies {
		if !r.ok() {
			n++
		}
	}
	return n
}

// gather fills replies in, and shows the course and, with --json, each answer.
func (f *commandFlags) gather(ctx context.Context, a *asker, replies []reply, out, errs io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	p := newProgress(errs, len(replies), colorTerminal(errs) && !(f.json && colorTerminal(out)))
	defer p.end()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var failed error
	for answers := a.all(ctx, f.atms, f.parallel); ; {
		select {
		case r, more := <-answers:
			if !more {
				return failed
			}
			replies[r.i] = r.reply
			p.count(r.reply)
			if f.json && failed == nil {
				if failed = replyJSON(out, a, r.reply); failed != nil {
					stop()
				}
			}
		case now := <-tick.C:
			p.show(now)
		}
	}
}

// tell prints the table, or what is left to print as JSON, and the sums.
func (f *commandFlags) tell(a *asker, replies []reply, out, errs io.Writer) error {
	if !f.json {
		return replyTable(newPage(out), a, replies)
	}
	for _, r := range replies {
		if r.state() == "not asked" {
			if err := replyJSON(out, a, r); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintln(errs, sumText(replies))
	return err
}

// replyJSON prints the answer as it came with "took_ms" added, or {"atm", "error"}.
func replyJSON(out io.Writer, a *asker, r reply) error {
	var line bytes.Buffer
	if r.err != nil {
		text := r.short(a)
		if text == "" {
			text = r.err.Error()
		}
		enc := json.NewEncoder(&line)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(map[string]string{"atm": r.atm, "error": text}) // strings: no error
	} else {
		_ = json.Compact(&line, r.data) // it has been read
		line.Truncate(line.Len() - 1)
		fmt.Fprintf(&line, ",\"took_ms\":%.1f}\n", float64(r.took.Microseconds())/1000)
	}
	if _, err := out.Write(line.Bytes()); err != nil {
		return fmt.Errorf("print the answer of terminal %s: %w", r.atm, err)
	}
	return nil
}

// replyTable prints a line per result, in the order of the list, and the sums.
func replyTable(p page, a *asker, replies []reply) error {
	columns := []column{{"TERMINAL", 8, false}, {"PARAM", paramWidth(replies), false}, {"CODE", 4, true}, {"STATUS", 9, false}, {"TOOK", 7, true}, {"DESCRIPTION", 0, false}}
	lines := []string{p.paint(p.line(columns, titles(columns)), "1")}
	for _, r := range replies {
		for _, cells := range replyCells(a, r) {
			lines = append(lines, p.line(columns, cells, "", "", "", statusColor(cells[3])))
		}
	}
	lines = append(lines, sumText(replies))
	for _, text := range lines {
		if _, err := fmt.Fprintln(p, text); err != nil {
			return err
		}
	}
	return nil
}

func statusColor(status string) string {
	switch status {
	case "ok":
		return "32"
	case "warning", "not asked":
		return "33"
	}
	return "31"
}

// replyCells are the lines of a terminal.
func replyCells(a *asker, r reply) (lines [][]string) {
	if r.err != nil {
		took := tookText(r.took)
		if r.took == 0 {
			took = "-"
		}
		return [][]string{{r.atm, "-", "-", r.state(), took, r.short(a)}}
	}
	line := func(param string, h command.Head) {
		lines = append(lines, []string{r.atm, param, strconv.Itoa(int(h.Code)), h.Status, tookText(r.took), h.Description})
	}
	if r.answer.Code != code.OK || len(r.answer.Results) == 0 {
		line("-", r.answer.Head)
	}
	for _, one := range r.answer.Results {
		line(paramText(one.Param), one.Head)
	}
	return lines
}

func paramText(param *string) string {
	if param == nil || *param == "" {
		return "-"
	}
	return *param
}

const maxParam = 20 // cells

func paramWidth(replies []reply) int {
	n := len("PARAM")
	for _, r := range replies {
		for _, one := range r.answer.Results {
			n = max(n, cells(paramText(one.Param)))
		}
	}
	return min(n, maxParam)
}

// sumText says how many terminals are how, and how long they took.
func sumText(replies []reply) string {
	counts := map[string]int{}
	var took []time.Duration
	var states []string
	for _, r := range replies {
		s := r.state()
		if counts[s]++; counts[s] == 1 {
			states = append(states, s)
		}
		if r.err == nil {
			took = append(took, r.took)
		}
	}
	slices.SortFunc(states, compareStates)
	var list []string
	for _, s := range states {
		list = append(list, fmt.Sprintf("%d %s", counts[s], s))
	}
	text := fmt.Sprintf("%s: %s", counted(len(replies), "terminal"), strings.Join(list, ", "))
	if len(took) > 0 {
		slices.Sort(took)
		text += fmt.Sprintf("; p50 %s, max %s", tookText(took[(len(took)-1)/2]), tookText(took[len(took)-1]))
	}
	return text
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// compareStates puts what is well first, codes last and in their order.
func compareStates(a, b string) int {
	rank := func(s string) int {
		if n, err := strconv.Atoi(strings.TrimPrefix(s, "code ")); err == nil {
			return 1000 + n
		}
		return slices.Index([]string{"ok", "not asked", "no edge", "no right", "no answer"}, s)
	}
	return rank(a) - rank(b)
}

// tookText is a time of waiting: 0.4 ms, 12 ms, 1.2 s.
func tookText(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
