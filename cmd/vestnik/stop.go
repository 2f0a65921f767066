package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/control"
)

// stopCommand ends programs cleanly (SPEC 4).
func stopCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "stop [PROGRAM…]",
		Short: "End programs cleanly: sinks, router, edge, in this order",
		Long: `Stop ends the programs named, else all, and waits until each has gone. What an edge
hosts in itself (run: […]) ends with it.`,
		Example: "  vestnik stop\n  vestnik stop sink-uralsib router",
		Args:    cobra.ArbitraryArgs,
	}
	cmd.Flags().DurationVar(&wait, "wait", 15*time.Second, "for each program at most")
	cmd.RunE = linked(func(_ context.Context, cmd *cobra.Command, l *link, args []string) error {
		s := stopper{link: l, wait: wait, say: func(format string, v ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", v...) }}
		targets, err := s.targets(args)
		if err != nil {
			return usageError(cmd, err)
		}
		return s.stop(cmd.Context(), targets) // the end of the connection is what it waits for
	})
	return cmd
}

type stopper struct {
	*link
	wait time.Duration
	say  func(format string, v ...any)
}

// targets are the programs to stop, in order: against an event's way, so that
// nothing is handed to a program that has gone.
func (s *stopper) targets(args []string) ([]string, error) {
	order := s.programs()
	slices.Reverse(order)
	for _, name := range args {
		if !slices.Contains(order, name) {
			return nil, fmt.Errorf("unknown program %q, known are %s", name, strings.Join(order, ", "))
		}
	}
	if len(args) == 0 {
		args = order
	}
	var list []string
	for _, name := range order {
		switch {
		case !slices.Contains(args, name):
		case !s.hosted(name):
			list = append(list, name)
		case !slices.Contains(args, "edge"):
			return nil, fmt.Errorf("%s is hosted by the edge and ends with it: vestnik stop edge (vestnik pause only stops deliveries)", name)
		}
	}
	return list, nil
}

// hosted tells whether the configuration has the edge run a program in itself.
func (s *stopper) hosted(program string) bool {
	return s.cfg != nil && s.cfg.Hosts(strings.TrimPrefix(program, "sink-"))
}

func (s *stopper) stop(ctx context.Context, targets []string) error {
	var errs []error
	for _, name := range targets {
		if s.nc.IsClosed() {
			s.say("%s: cannot be asked, the broker has gone with the edge", name)
			continue
		}
		errs = append(errs, s.one(ctx, name))
	}
	return errors.Join(errs...)
}

func (s *stopper) one(ctx context.Context, name string) error {
	err := control.Call(ctx, s.nc, name, control.Stop, nil)
	if errors.Is(err, control.ErrNotRunning) {
		s.say("%s was not running", name)
		return nil
	}
	if err != nil && !s.nc.IsClosed() {
		return err
	}
	begun := time.Now()
	if err := s.gone(ctx, name); err != nil {
		return err
	}
	s.say("%s has stopped (%.1f s)", name, time.Since(begun).Seconds())
	return nil
}

// lastWords is how long an edge's broker may stay up when nobody answers for the
// edge any more; a broker that stays is another one, as the hub's.
const lastWords = 5 * time.Second

// askAgain is how long a program that is ending may leave a question unanswered.
const askAgain = 200 * time.Millisecond

// gone waits until nobody answers for a program, and, for the edge, until its broker
// has closed the connection.
func (s *stopper) gone(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var silent time.Time
	for {
		ask, cancel := context.WithTimeout(ctx, askAgain)
		err := control.Call(ask, s.nc, name, control.Status, nil)
		cancel()
		if errors.Is(err, control.ErrNotRunning) && silent.IsZero() {
			silent = time.Now()
		}
		if s.nc.IsClosed() || !silent.IsZero() && (name != "edge" || time.Since(silent) > lastWords) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s has not stopped within %s; it may still be ending what is in flight", name, s.wait)
		}
	}
}
