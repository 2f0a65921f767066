package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"vestnik/internal/app"
	"vestnik/internal/ledger"
	"vestnik/internal/poll"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// printStatus is status for people.
func printStatus(p page, s *status) error {
	var b bytes.Buffer
	w := page{&b, p.width, p.color}
	fmt.Fprintf(w, "NATS at %s\n\n", s.Server)
	w.programs(s)
	w.pauses(s)
	w.tallies(s)
	w.store(s)
	for _, text := range s.Problems {
		fmt.Fprintf(w, "%s %s\n", w.paint("problem:", "31"), text)
	}
	_, err := p.Write(b.Bytes())
	return err
}

func (p page) programs(s *status) {
	columns := []column{{"PROGRAM", 13, false}, {"STATE", 12, false}, {"", 0, false}}
	for _, one := range s.Programs {
		state, color := "running", "32"
		switch {
		case !one.Running:
			state, color = "not running", "33"
		case one.Error != "":
			state, color = "no answer", "31"
		}
		fmt.Fprintln(p, p.line(columns, []string{one.Program, state, one.about(s.Time)}, "", color))
	}
	fmt.Fprintln(p)
}

// about is what matters of a program now.
func (p programStatus) about(now time.Time) string {
	switch {
	case p.Error != "":
		return p.Error
	case p.edge != nil:
		return p.edgeText(now)
	case p.router != nil:
		return p.routerText(now)
	case p.sink != nil:
		return p.sinkText(now)
	}
	return ""
}

func (p programStatus) edgeText(now time.Time) string {
	e := p.edge
	list := []string{since(e.Program, now), "atm " + e.ATM, fmt.Sprintf("%d connections", e.Terminal.Connections),
		"last event " + ago(e.Terminal.LastEvent, now), "last heartbeat " + ago(e.Terminal.LastHeartbeat, now)}
	if n := commandsText(e.Commands.Answered); n != "" {
		list = append(list, n)
	}
	if e.Commands.Refused != "" {
		list = append(list, "commands are refused: "+e.Commands.Refused)
	}
	if e.Forward != nil {
		list = append(list, "hub: "+forwardText(*e.Forward, now))
	}
	if e.Terminal.Paused {
		list = append(list, "intake paused")
	}
	if e.Terminal.Full != "" {
		list = append(list, "INTAKE ANSWERS CODE 6: "+e.Terminal.Full)
	}
	return strings.Join(list, ", ")
}

// forwardText says how far events are at the hub.
func forwardText(f app.ForwardStatus, now time.Time) string {
	text := "linked"
	if f.Error != "" {
		text = f.Error
	} else if !f.Linked {
		text = "no link"
	}
	if f.Behind > 0 {
		text += fmt.Sprintf(", %d messages behind", f.Behind)
		if !f.Oldest.IsZero() {
			text += ", the oldest of " + ago(f.Oldest, now)
		}
	}
	return text + ", last sent " + ago(f.Last, now)
}

// commandsText says how many commands there were and how many failed, "" if none came.
func commandsText(answered map[int]int64) string {
	all := int64(0)
	for _, n := range answered {
		all += n
	}
	switch failed := all - answered[0]; {
	case all == 0:
		return ""
	case failed > 0:
		return fmt.Sprintf("%d commands, %d failed", all, failed)
	}
	return fmt.Sprintf("%d commands", all)
}

func (p programStatus) routerText(now time.Time) string {
	r := p.router
	list := []string{since(r.Program, now), fmt.Sprintf("%d routed, %d held now", r.Router.Routed, r.Router.Holding)}
	if r.Router.Stopped != "" {
		list = append(list, "STOPPED: "+r.Router.Stopped)
	}
	if r.Keeper.Error != "" {
		list = append(list, "keeper: "+r.Keeper.Error)
	}
	return strings.Join(list, ", ")
}

func (p programStatus) sinkText(now time.Time) string {
	k := p.sink.Sink
	list := []string{since(p.sink.Program, now)}
	switch {
	case k.NoAddress:
		list = append(list, "no RemoteMonitoringUrl: events gather in the queue")
	case k.Outage != nil:
		next := "now"
		if wait := k.Outage.Next.Sub(now); wait > time.Second {
			next = "in " + spanText(wait)
		}
		list = append(list, fmt.Sprintf("OUT for %s (%d failures), next attempt %s: %s", ageText(k.Outage.Since, now), k.Outage.Failures, next, k.Outage.Error))
	default:
		list = append(list, fmt.Sprintf("%d delivered, %d in flight", k.Delivered, k.InFlight))
	}
	if c := p.sink.Commands; c != nil {
		list = append(list, polledText(*c, now))
	}
	return strings.Join(list, ", ")
}

// polledText is how the commands stand that a sink polls.
func polledText(c poll.Stats, now time.Time) string {
	switch {
	case c.Journal != "":
		return "POLLED COMMANDS CANNOT BE RECORDED: " + c.Journal
	case c.PollOutage != nil:
		return fmt.Sprintf("COMMANDS CANNOT BE POLLED for %s: %s", ageText(c.PollOutage.Since, now), c.PollOutage.Error)
	case c.PostOutage != nil:
		return fmt.Sprintf("%d RESULTS OF COMMANDS CANNOT BE POSTED for %s: %s", c.Unposted, ageText(c.PostOutage.Since, now), c.PostOutage.Error)
	}
	return fmt.Sprintf("%d commands polled, %d without a result, %d results not posted", c.Received, c.Waiting, c.Unposted)
}

func since(p app.Program, now time.Time) string {
	text := "up " + ageText(p.Started, now)
	if line, _, _ := strings.Cut(p.ConfigError, "\n"); line != "" {
		text += ", CONFIGURATION REFUSED: " + line
	}
	return text
}

func ago(t, now time.Time) string {
	if t.IsZero() {
		return "none since the start"
	}
	return ageText(t, now) + " ago"
}

func (p page) pauses(s *status) {
	lines := pauseLines(s.Pauses)
	for _, text := range lines {
		fmt.Fprintln(p, p.paint(text, "33"))
	}
	if len(lines) > 0 {
		fmt.Fprintln(p)
	}
}

func (p page) tallies(s *status) {
	all := map[string]ledger.Tally{}
	for name, one := range s.Sinks {
		all[name] = one.tally
	}
	_ = tallyTable(p, all, s.Time) // into memory
	if s.Unrouted > 0 {
		fmt.Fprintf(p, "Not routed yet: %d messages of %s\n", s.Unrouted, s.input)
	}
	fmt.Fprintln(p)
}

func (p page) store(s *status) {
	for _, name := range []string{s.input, streams.Route, streams.Done} {
		if one, ok := s.Store[name]; ok {
			fmt.Fprintln(p, p.fill(name, one))
		}
	}
	rules := "none: the router has not run yet"
	if s.Rules != "" {
		rules = "sha256:" + s.Rules
	}
	if !s.elsewhere {
		fmt.Fprintf(p, "Rules   %s\n", rules)
	}
	for _, d := range s.Damage {
		fmt.Fprintf(p, "%s %s\n", p.paint("damage:", "31"), damageText(d))
	}
}

// damageText is one line about damage that was found in the store.
func damageText(d scrub.Damage) string {
	list := []string{d.Time.Local().Format(time.DateTime) + " " + d.Stream}
	if d.Lost > 0 {
		text := fmt.Sprintf("%d messages lost", d.Lost)
		for i, r := range d.Ranges {
			sep := ", "
			if i == 0 {
				sep = ": "
			}
			text += fmt.Sprintf("%s%d-%d", sep, r.From, r.To)
		}
		list = append(list, text)
	}
	if d.Unread > 0 {
		list = append(list, fmt.Sprintf("%d of them not routed yet", d.Unread))
	}
	if d.Healed > 0 {
		list = append(list, fmt.Sprintf("%d records put right", d.Healed))
	}
	if d.Config != "" {
		list = append(list, "configuration "+d.Config)
	}
	if d.Kept != "" {
		list = append(list, "as it was: "+d.Kept)
	}
	return strings.Join(list, ", ")
}

const barCells = 20

// fill shows how full a stream is.
func (p page) fill(name string, s app.StreamStatus) string {
	share := 0.0
	if s.MaxBytes > 0 {
		share = min(float64(s.Bytes)/float64(s.MaxBytes), 1)
	}
	n := int(share*barCells + 0.5)
	bar, color := strings.Repeat("#", n)+strings.Repeat(".", barCells-n), "32"
	if share >= 0.8 {
		color = "31"
	}
	since := ""
	if !s.First.IsZero() {
		since = ", since " + s.First.Local().Format(time.DateTime)
	}
	if s.MaxBytes < 0 {
		return fmt.Sprintf("%-6s  %s, no limit of its own, %d messages%s", name, sizeText(int64(s.Bytes)), s.Messages, since)
	}
	return fmt.Sprintf("%-6s  [%s] %3.0f %%  %s of %s, %d messages%s", name, p.paint(bar, color), share*100,
		sizeText(int64(s.Bytes)), sizeText(s.MaxBytes), s.Messages, since)
}

func sizeText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
