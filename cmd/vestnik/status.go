package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/app"
	"vestnik/internal/control"
	"vestnik/internal/ledger"
	"vestnik/internal/scrub"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// statusCommand shows how an installation is.
func statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the programs are, what each sink owes, pauses and outages",
		Long: `Status asks every program how it is, counts the events of each sink by state, and
shows pauses, outages with the next attempt, the last heartbeat and how full the store
is. A program that is not running is shown, and is no error: the exit code is 1
only if the broker cannot be reached. docs/status.md describes the JSON.`,
		Example: "  vestnik status\n  vestnik status --json",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		s := askStatus(ctx, l)
		if err := ctx.Err(); err != nil {
			return err
		}
		if asJSON {
			return printStatusJSON(cmd.OutOrStdout(), s)
		}
		return printStatus(newPage(cmd.OutOrStdout()), s)
	})
	return cmd
}

// status is an installation as a whole; docs/status.md is its description.
type status struct {
	Time          time.Time                   `json:"time"`
	Server        string                      `json:"server"`
	Programs      []programStatus             `json:"programs"`
	Sinks         map[string]sinkStatus       `json:"sinks"`
	Pauses        control.Pauses              `json:"pauses"`
	Store         map[string]app.StreamStatus `json:"store"`
	Unrouted      uint64                      `json:"unrouted"`
	Rules         string                      `json:"rules"`
	LastEvent     *time.Time                  `json:"last_event"`
	LastHeartbeat *time.Time                  `json:"last_heartbeat"`
	Damage        []scrub.Damage              `json:"damage"`
	Problems      []string                    `json:"problems"`

	input     string // EVENTS, at a hub EVT
	elsewhere bool   // an edge whose terminal is routed at the hub
}

// programStatus is a program's own answer, as it gave it.
type programStatus struct {
	Program string          `json:"program"`
	Running bool            `json:"running"`
	Error   string          `json:"error"`
	Status  json.RawMessage `json:"status"` // null = no answer

	edge   *app.EdgeStatus
	router *app.RouterStatus
	sink   *app.SinkStatus
}

// sinkStatus is what there is to deliver to a sink.
type sinkStatus struct {
	States map[string]int `json:"states"`
	Oldest *time.Time     `json:"oldest_undelivered"` // receipt
	Age    *float64       `json:"oldest_age"`         // seconds
	Paused bool           `json:"paused"`
	Outage *sink.Outage   `json:"outage"`

	tally ledger.Tally
}

// askStatus asks everybody. What cannot be learnt is among the problems.
func askStatus(ctx context.Context, l *link) *status {
	s := &status{Time: time.Now().UTC(), Server: l.server, Sinks: map[string]sinkStatus{}, Store: map[string]app.StreamStatus{},
		Damage: []scrub.Damage{}, Problems: []string{}}
	try := func(err error) {
		if err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
	}
	s.Programs = askPrograms(ctx, l)
	if s.elsewhere = l.routedElsewhere(); s.elsewhere {
		try(s.onlyEdge())
	}
	var err error
	s.Pauses, err = control.ReadPauses(ctx, l.js)
	try(err)
	try(s.askSinks(ctx, l))
	s.input = l.place(ctx).Input()
	for _, name := range []string{s.input, streams.Route, streams.Done} {
		try(s.askStream(ctx, l.js, name))
	}
	if !s.elsewhere {
		s.Unrouted, err = ledger.Unrouted(ctx, l.js, l.place(ctx))
		try(err)
	}
	s.Rules, err = rulesInForce(ctx, l.js)
	try(err)
	for _, p := range s.Programs {
		if p.edge != nil {
			s.LastEvent, s.LastHeartbeat = moment(p.edge.Terminal.LastEvent), moment(p.edge.Terminal.LastHeartbeat)
			if f := p.edge.Frozen; f != nil {
				try(fmt.Errorf("the store has taken no writes since %s: %s", f.Since.Format(time.RFC3339), f.Reason))
			}
			s.Damage = append(s.Damage, p.edge.Damage...)
		}
	}
	return s
}

// onlyEdge leaves out the programs that nobody misses where the terminal is routed at the
// hub. One that runs is a problem: its events go twice (SPEC 10).
func (s *status) onlyEdge() error {
	s.Programs = slices.DeleteFunc(s.Programs, func(p programStatus) bool { return p.Program != "edge" && !p.Running })
	var names []string
	for _, p := range s.Programs[1:] {
		names = append(names, p.Program)
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s: at work here, though hub.route says that this terminal is routed at the hub: vestnik stop %s", strings.Join(names, ", "), strings.Join(names, " "))
}

// moment is nil for no time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// askPrograms asks all programs at once.
func askPrograms(ctx context.Context, l *link) []programStatus {
	names := l.programs()
	list := make([]programStatus, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { list[i] = askProgram(ctx, l, name) })
	}
	wg.Wait()
	return list
}

func askProgram(ctx context.Context, l *link, name string) programStatus {
	p := programStatus{Program: name}
	err := control.Call(ctx, l.nc, name, control.Status, &p.Status)
	if p.Running = !errors.Is(err, control.ErrNotRunning); err == nil {
		err = p.read()
	}
	if err != nil && p.Running {
		p.Error = err.Error()
	}
	return p
}

func (p *programStatus) read() error {
	var to any
	switch p.Program {
	case "edge":
		p.edge = &app.EdgeStatus{}
		to = p.edge
	case "router":
		p.router = &app.RouterStatus{}
		to = p.router
	default:
		p.sink = &app.SinkStatus{}
		to = p.sink
	}
	if err := json.Unmarshal(p.Status, to); err != nil {
		return fmt.Errorf("status of %s: %w", p.Program, err)
	}
	return nil
}

func (s *status) askSinks(ctx context.Context, l *link) error {
	all, err := ledger.Count(ctx, l.js, l.sinks()...)
	if err != nil {
		return err
	}
	for name, t := range all {
		one := sinkStatus{States: t.Counts, Oldest: moment(t.Oldest), Paused: s.Pauses.Sink(name), tally: t}
		if one.Oldest != nil {
			age := max(s.Time.Sub(t.Oldest).Seconds(), 0)
			one.Age = &age
		}
		for _, p := range s.Programs {
			if p.Program == app.SinkProgram(name) && p.sink != nil {
				one.Outage = p.sink.Sink.Outage
			}
		}
		s.Sinks[name] = one
	}
	return nil
}

func (s *status) askStream(ctx context.Context, js jetstream.JetStream, name string) error {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // its program has not run yet
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	one := app.StreamStatus{Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes}
	if info.State.Msgs > 0 {
		one.First, one.Last = info.State.FirstTime, info.State.LastTime
	}
	s.Store[name] = one
	return nil
}

// rulesInForce is the digest that ROUTE records, whether the router runs or not;
// "" if there never was one.
func rulesInForce(ctx context.Context, js jetstream.JetStream) (string, error) {
	s, err := js.Stream(ctx, streams.Route)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up stream %s: %w", streams.Route, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, streams.Rules)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the rules in ROUTE: %w", err)
	}
	var record struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal(m.Data, &record); err != nil {
		return "", fmt.Errorf("rules in ROUTE: %w", err)
	}
	return record.Digest, nil
}

func printStatusJSON(out io.Writer, s *status) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(s)
}
