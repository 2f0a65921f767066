package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/replay"
)

// chosen are the flags that choose what is looked at. Every command that has one of them
// has it from here: it is called the same, and means the same.
type chosen struct {
	since, until                   string
	terminals, devices, severities []string
	text                           string

	from, to time.Time // To is not included; zero = open
}

// timesHelp explains --since and --until in a command's long text.
const timesHelp = `--since and --until go by the time of receipt. They take a span before now (24h, 7d),
today, yesterday, a day (2026-11-28; --until means its end), or an RFC 3339 time.`

// defineTerminals defines the flags of all that happens at terminals. The suffixes say
// what holds where a flag is not given.
func (c *chosen) defineTerminals(cmd *cobra.Command, noSince, noUntil string) {
	fl := cmd.Flags()
	fl.StringVar(&c.since, "since", "", "only what came since this `TIME`"+noSince)
	fl.StringVar(&c.until, "until", "", "only what came before this `TIME`"+noUntil)
	fl.StringSliceVar(&c.terminals, "terminal", nil, "only what is of the terminals with these `NUMBERS`")
}

// defineEvents defines the flags of events.
func (c *chosen) defineEvents(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringSliceVar(&c.devices, "device", nil, "only events of these `DEVICES`, numbers or names alike (7, CDM)")
	fl.StringSliceVar(&c.severities, "severity", nil, "only events of these `SEVERITIES` (critical, warning, normal)")
	fl.StringVar(&c.text, "text", "", "only events with this `TEXT` in the value of an attribute, in any case")
}

// complete reads the flags.
func (c *chosen) complete(now time.Time) (err error) {
	for i, t := range c.terminals {
		if c.terminals[i], err = terminalNumber(t); err != nil {
			return err
		}
	}
	slices.Sort(c.terminals)
	c.terminals = slices.Compact(c.terminals)
	if c.from, err = pointInTime("--since", c.since, now, false); err != nil {
		return err
	}
	if c.to, err = pointInTime("--until", c.until, now, true); err != nil {
		return err
	}
	if !c.to.IsZero() && !c.from.Before(c.to) {
		return fmt.Errorf("--since %s is not before --until %s", c.since, c.until)
	}
	return nil
}

// defaultWindow is how far back an incident is looked for where nobody says.
const defaultWindow = 24 * time.Hour

const (
	incidentSince = " (default 24 h before --until)"
	incidentUntil = " (default now)"
)

// incident completes the flags of a command that looks at an incident: its window always
// has both ends, so that what comes meanwhile does not change what is looked at. Arguments
// are terminals, as --terminal has them.
func (c *chosen) incident(args []string, now time.Time) error {
	c.terminals = append(c.terminals, args...)
	if err := c.complete(now); err != nil {
		return err
	}
	if c.to.IsZero() {
		c.to = now
	}
	if c.from.IsZero() {
		c.from = c.to.Add(-defaultWindow)
	}
	if !c.from.Before(c.to) {
		return fmt.Errorf("--since %s is not before now", strings.TrimSpace(c.since))
	}
	return nil
}

// query is the question to stored events.
func (c *chosen) query() replay.Query {
	return replay.Query{From: c.from, To: c.to, Terminals: c.terminals, Devices: c.devices, Severities: c.severities, Text: c.text}
}

// byKind tells whether events are chosen by more than terminal and time.
func (c *chosen) byKind() bool { return len(c.devices)+len(c.severities) > 0 || c.text != "" }

// has tells whether a time is in the window.
func (c *chosen) has(t time.Time) bool {
	return !t.Before(c.from) && (c.to.IsZero() || t.Before(c.to))
}

// of tells whether a terminal is wanted.
func (c *chosen) of(terminal string) bool {
	return len(c.terminals) == 0 || slices.Contains(c.terminals, terminal)
}
