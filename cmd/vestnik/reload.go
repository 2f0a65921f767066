package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"vestnik/internal/app"
	"vestnik/internal/control"
)

// reloadCommand has programs read rules.xml and vestnik.conf anew (SPEC 3, ADR 0026).
func reloadCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "reload [PROGRAM…]",
		Short: "Put changed rules and a changed configuration in force",
		Long: `Reload has the programs named, else all, read their files anew: the router rules.xml, each
its vestnik.conf, the edge nats.conf too. A file with errors is refused with every problem
as FILE:LINE:COL: reason, and what was in force stays in force. A program whose
configuration has changed begins its work again within its process; the terminal port
stays open meanwhile. What rules hold keeps the count and deadline under which it was held.`,
		Example: "  vestnik rules check rules.xml && vestnik reload\n  vestnik check && vestnik reload sink-uralsib",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "for each program at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := reloader{cmd: cmd, wait: wait, out: cmd.OutOrStdout()}
		programs, err := r.targets(args)
		if err != nil {
			return err
		}
		return r.all(programs, len(args) > 0)
	}
	return cmd
}

type reloader struct {
	cmd    *cobra.Command
	wait   time.Duration
	out    io.Writer
	hosted func(program string) bool // by the edge, with which it changes over
}

// targets are the programs asked for, against an event's way: when the edge begins
// again, connections to its broker break for a moment.
func (r *reloader) targets(args []string) ([]string, error) {
	l, err := connect(r.cmd)
	if err != nil {
		return nil, err
	}
	defer l.close()
	known := l.programs()
	slices.Reverse(known)
	r.hosted = func(name string) bool { return l.cfg != nil && l.cfg.Hosts(strings.TrimPrefix(name, "sink-")) }
	for _, name := range args {
		if !slices.Contains(known, name) {
			return nil, usageError(r.cmd, fmt.Errorf("unknown program %q, known are %s", name, strings.Join(known, ", ")))
		}
	}
	if len(args) == 0 {
		return known, nil
	}
	return slices.DeleteFunc(known, func(name string) bool { return !slices.Contains(args, name) }), nil
}

// all reloads one program after the other; a file that the first refuses, the
// others need not be asked about.
func (r *reloader) all(programs []string, named bool) error {
	running := 0
	for _, name := range programs {
		text, err := r.one(name)
		switch {
		case errors.Is(err, control.ErrNotRunning) && !named:
			text = "not running: it reads its files when it starts"
		case err != nil:
			return err
		default:
			running++
		}
		fmt.Fprintf(r.out, "%-14s %s\n", name, text)
	}
	if running == 0 {
		return errors.New("nobody answers: what does not run reads its files when it starts")
	}
	return nil
}

const renewed = "new configuration in force"

// one reloads a program and says what is in force now.
func (r *reloader) one(name string) (string, error) {
	ctx, cancel := context.WithTimeout(r.cmd.Context(), r.wait)
	defer cancel()
	var before app.Program
	if err := r.ask(ctx, name, control.Status, &before); err != nil {
		return "", err
	}
	var a app.Reloaded
	err := r.ask(ctx, name, control.Reload, &a)
	var refused *control.Refused
	switch {
	case errors.As(err, &refused):
		return "", fmt.Errorf("%s\nwhat was in force stays in force", refused.Text)
	case err != nil && !errors.Is(err, nats.ErrConnectionClosed): // the edge's broker may go before its answer has left
		return "", err
	case err != nil, a.Renewing:
		return renewed, r.renewed(ctx, name, before)
	}
	text := "configuration unchanged"
	if r.hosted(name) {
		text = "as the edge"
	}
	if a.Rules != "" {
		text = fmt.Sprintf("rules in force: sha256:%s, %s", a.Rules, countRules(a.Count))
	}
	return text, nil
}

// renewed waits until a program has begun again. Meanwhile it may not answer, and
// the edge's broker be away.
func (r *reloader) renewed(ctx context.Context, name string, before app.Program) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var now app.Program
		err := r.ask(ctx, name, control.Status, &now)
		switch {
		case err == nil && now.ConfigError != "":
			return fmt.Errorf("%s does not serve with the new configuration: %s\nwhat was in force stays in force", name, now.ConfigError)
		case err == nil && now.Started.After(before.Started):
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not begun again within %s: see its log", name, r.wait)
		}
	}
}

// ask asks a program on a connection of its own: the one before may have ended
// with the edge's broker.
func (r *reloader) ask(ctx context.Context, name, verb string, v any) error {
	l, err := connect(r.cmd)
	if err != nil {
		return err
	}
	defer l.close()
	return control.Call(ctx, l.nc, name, verb, v)
}
