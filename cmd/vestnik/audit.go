package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

type auditFlags struct {
	chosen
	name, way, id        string
	code, limit          int
	failed, follow, json bool

	byCode bool
}

// auditCommand shows the record of commands (SPEC 7).
func auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show the record of commands: who sent what to which terminal, and what came of it",
		Long: `Audit lists commands, the newest last: when, to which terminal, by which way in, who
sent it, the command, its id, the code of its result, how long it took and the result's
text. Commands that were refused or answered from memory are there, too.

` + timesHelp + `
With --follow it goes on and prints commands as their
results are recorded, also after a restart of the edge. With --json it prints a line per command (docs/commands.md).`,
		Example: `  vestnik audit
  vestnik audit --terminal 40 --since 24h --failed
  vestnik audit --name REBOOT --way proxima --since 2026-11-28
  vestnik audit --id 1007 --json
  vestnik audit --code 109 --limit 0
  vestnik audit --follow`,
		Args: cobra.NoArgs,
	}
	f.defineTerminals(cmd, "", "")
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "only commands with this `NAME`")
	fl.StringVar(&f.way, "way", "", "only commands by this `WAY` in: "+strings.Join(command.Ways, ", "))
	fl.IntVar(&f.code, "code", 0, "only commands with a result of this `CODE`")
	fl.BoolVar(&f.failed, "failed", false, "only commands that did not end with code 0")
	fl.StringVar(&f.id, "id", "", "only commands with this `ID`")
	fl.IntVar(&f.limit, "limit", 0, fmt.Sprintf("the newest commands, so many at most, 0 = no limit (default of the table: %d)", tableRows))
	fl.BoolVar(&f.follow, "follow", false, "go on, until interrupted")
	fl.BoolVar(&f.json, "json", false, "print a line of JSON per command")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.complete(cmd, time.Now()); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.follow {
			return f.keepOn(cmd)
		}
		return linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
			found, err := f.search(ctx, l)
			if err != nil {
				return err
			}
			return f.printer(cmd.OutOrStdout()).list(found)
		})(cmd, args)
	}
	return cmd
}

func (f *auditFlags) complete(cmd *cobra.Command, now time.Time) error {
	f.byCode = cmd.Flags().Changed("code")
	if err := f.chosen.complete(now); err != nil {
		return err
	}
	if f.way != "" && !slices.Contains(command.Ways, f.way) {
		return fmt.Errorf("unknown way %q, known are %s", f.way, strings.Join(command.Ways, ", "))
	}
	switch {
	case !f.to.IsZero() && f.follow:
		return errors.New("--follow has no end: leave --until out")
	case f.limit < 0:
		return fmt.Errorf("limit %d: want 0 or more", f.limit)
	}
	if !f.json && !cmd.Flags().Changed("limit") {
		f.limit = tableRows
	}
	return nil
}

// wanted are the rows that are to be shown.
func (f *auditFlags) wanted(rows []*audit.Row) []*audit.Row {
	now := time.Now()
	return slices.DeleteFunc(rows, func(r *audit.Row) bool { return !f.wants(r, now) })
}

// wants tells whether a row is to be shown.
func (f *auditFlags) wants(r *audit.Row, now time.Time) bool {
	switch {
	case !f.has(r.Time), !f.of(r.Terminal):
		return false
	case f.name != "" && r.Command.Name != f.name, f.way != "" && r.Way != f.way, f.id != "" && r.Command.ID != f.id:
		return false
	case f.byCode && !r.Has(code.Code(f.code)), f.failed && !r.Failed() && !forgotten(r, now):
		return false
	}
	return true
}

// forgotten tells whether a command is open longer than any can run: the edge was killed
// and has not started since.
func forgotten(r *audit.Row, now time.Time) bool {
	return r.State == audit.StateOpen && now.Sub(r.Time) > time.Minute
}

// ahead is how many records are fetched ahead: they may be long.
const ahead = 16

func (f *auditFlags) printer(out io.Writer) auditPrinter {
	return auditPrinter{auditFlags: f, out: out, page: newPage(out)}
}

// maxSubjects bounds the filter of a consumer.
const maxSubjects = 128

func (f *auditFlags) subjects() []string {
	if n := len(f.terminals); n == 0 || n > maxSubjects {
		return []string{streams.AuditCmds}
	}
	var list []string
	for _, t := range f.terminals {
		list = append(list, streams.AuditCmd(t))
	}
	return list
}

// findings are the rows of a part of AUDIT.
type findings struct {
	audit.Trail
	last  uint64       // where the part ends
	rows  []*audit.Row // wanted, the oldest first
	more  int          // wanted and not among rows, as far as read
	older bool         // there may be more before the part
	// begins is when the first record was written that is still there; zero = nothing has
	// made room so far.
	begins time.Time
}

// add takes a message of AUDIT.
func (fs *findings) add(subject string, data []byte) []*audit.Row {
	var r audit.Record
	token := strings.Split(subject, ".")
	if len(token) != 3 || json.Unmarshal(data, &r) != nil {
		return nil // written by nobody of us
	}
	return fs.Add(token[1], r)
}

// searchMargin is how far the clock of who wrote a record may be from that of the store.
const searchMargin = time.Hour

// search finds the newest commands that are wanted. It reads backwards, ever longer
// parts, for AUDIT may be long, and the connection slow.
func (f *auditFlags) search(ctx context.Context, l *link) (*findings, error) {
	s, err := l.js.Stream(ctx, streams.Audit)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("no record of commands (stream %s) at %s: has an edge run there, and is it of a version with commands?", streams.Audit, l.server)
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", streams.Audit, err)
	}
	state := s.CachedInfo().State
	for part := uint64(8*f.limit + 1024); ; part *= 4 {
		from := state.FirstSeq
		if f.limit > 0 && state.LastSeq > from+part {
			from = state.LastSeq - part
		}
		found, oldest, err := f.look(ctx, l, from, state.LastSeq)
		if err != nil {
			return nil, err
		}
		tooOld := !oldest.IsZero() && oldest.Before(f.from.Add(-searchMargin))
		if from == state.FirstSeq || len(found.rows) == f.limit || tooOld {
			found.older = from > state.FirstSeq && !tooOld
			if state.FirstSeq > 1 {
				found.begins = state.FirstTime
			}
			return found, nil
		}
	}
}

// begun are the rows that stand for commands: those that are done have been told at their
// begin.
func begun(rows []*audit.Row) []*audit.Row {
	return slices.DeleteFunc(rows, func(r *audit.Row) bool { return r.State == audit.StateDone })
}

// look reads AUDIT from a place on. oldest is when the first message of the part was stored.
func (f *auditFlags) look(ctx context.Context, l *link, from, last uint64) (found *findings, oldest time.Time, err error) {
	found = &findings{last: last}
	var all []*audit.Row
	err = streams.Scan(ctx, l.js, streams.Audit, streams.From{Seq: from, Subjects: f.subjects(), Ahead: ahead}, func(m jetstream.Msg) error {
		if meta, err := m.Metadata(); err == nil && oldest.IsZero() {
			oldest = meta.Timestamp
		}
		found.last = max(found.last, streams.Seq(m))
		all = append(all, begun(found.add(m.Subject(), m.Data()))...)
		return nil
	})
	if err != nil {
		return nil, oldest, fmt.Errorf("read %s: %w", streams.Audit, err)
	}
	found.rows = f.wanted(all)
	if n := len(found.rows); f.limit > 0 && n > f.limit {
		found.more, found.rows = n-f.limit, found.rows[n-f.limit:]
	}
	return found, oldest, nil
}

// copied finds the commands that are wanted in AUDIT of a copied store.
func (f *auditFlags) copied(ctx context.Context, r *scrub.Reader) (*findings, error) {
	found := &findings{}
	var all []*audit.Row
	err := r.Each(ctx, time.Time{}, func(m streams.Stored) error {
		if found.last == 0 && m.Seq > 1 {
			found.begins = m.Time
		}
		found.last = m.Seq
		all = append(all, begun(found.add(m.Subject, m.Data))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Name(), err)
	}
	found.rows = f.wanted(all)
	return found, nil
}
