package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/simulate"
)

// monitorFlags are common to both monitoring systems.
type monitorFlags struct {
	simulate.MonitorOptions
	simulate.Behaviour
	outputFlags
	listen                    string
	answers                   []string
	after, duration           time.Duration
	outage, hang, cut, vanish time.Duration // how long each lasts, from after on

	more   []lastingFault                                 // beside those four
	beside func(ctx context.Context, view *simulate.View) // goes on beside the server; nil = nothing
}

// A lastingFault lasts for d, from --after on; 0 = never.
type lastingFault struct {
	d   time.Duration
	set func(on bool) error
}

func simulateUralsibCommand() *cobra.Command {
	var o monitorFlags
	var query string
	cmd := &cobra.Command{
		Use:   "uralsib",
		Short: "Play the monitoring system URALSIB: HTTP GET with the event as the query",
		Example: `  vestnik simulate uralsib --delay 50ms --fail 0.1 --status 503
  vestnik simulate uralsib --after 10s --outage 30s --retry-after 5s
  vestnik simulate uralsib --answer 'message:захвачена=422'`,
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m := simulate.NewUralsib(simulate.UralsibOptions{MonitorOptions: o.MonitorOptions, Query: query})
			return o.run(cmd.Context(), cmd.OutOrStdout(), m.Monitor, "uralsib")
		},
	}
	o.addFlags(cmd, "127.0.0.1:8081")
	cmd.Flags().StringVar(&query, "query", "", "the query that RemoteMonitoringUrl already has; must stand in front")
	return cmd
}

func simulateProximaCommand() *cobra.Command {
	var o monitorFlags
	var orders orderFlags
	var format, commands string
	var pollWait time.Duration
	cmd := &cobra.Command{
		Use:   "proxima",
		Short: "Play the monitoring system PROXIMA: HTTP POST of CloudEvents, commands by long poll",
		Long: `Play the monitoring system PROXIMA: events come as HTTP POST, commands are taken by
long poll and their results posted (docs/proxima.md). A request that departs from the
OpenAPI file, which is served at /openapi.json, is refused and shown with the reason.`,
		Example: `  vestnik simulate proxima
  vestnik simulate proxima --order '00000040 GET_STATUS CIM' --order-every 5s --post-outage 30s
  echo '40 GET_CASH_UNIT_INFO CIM CDM' | vestnik simulate proxima --order -
  vestnik simulate proxima --format plain --hang 20s`,
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format == "any" {
				format = ""
			} else if format != simulate.FormStructured && format != simulate.FormPlain {
				return fmt.Errorf("--format %q is none of any, structured, plain", format)
			}
			p := simulate.NewProxima(simulate.ProximaOptions{MonitorOptions: o.MonitorOptions,
				Format: format, CommandsPath: commands, PollWait: pollWait})
			if err := orders.complete(cmd); err != nil {
				return err
			}
			o.more = orders.faults(p)
			o.beside = func(ctx context.Context, view *simulate.View) { orders.run(ctx, p, view) }
			return o.run(cmd.Context(), cmd.OutOrStdout(), p.Monitor, "proxima")
		},
	}
	o.addFlags(cmd, "127.0.0.1:8082")
	orders.addFlags(cmd)
	cmd.Flags().StringVar(&format, "format", "any", "what is taken: any, structured (and batches), plain")
	cmd.Flags().StringVar(&commands, "commands", "/commands", "path of RemoteCommandsUrl")
	cmd.Flags().DurationVar(&pollWait, "poll-wait", 20*time.Second, "how long a poll for commands waits")
	return cmd
}

func (o *monitorFlags) addFlags(cmd *cobra.Command, listen string) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", listen, "host:port")
	f.DurationVar(&o.Delay, "delay", 0, "before every answer")
	f.IntVar(&o.Success, "success", 200, "status of a success")
	f.Float64Var(&o.FailShare, "fail", 0, "share of requests that fail, 0 to 1")
	f.IntVar(&o.FailStatus, "status", 503, "status of a failure")
	f.DurationVar(&o.RetryAfter, "retry-after", 0, "Retry-After of answers of 400 and above")
	f.StringSliceVar(&o.answers, "answer", nil, "ATTRIBUTE:TEXT=STATUS: answer events whose attribute contains the text so")
	f.DurationVar(&o.after, "after", 0, "when outage, hang, cut and vanish begin")
	f.DurationVar(&o.outage, "outage", 0, "answer 503 to everything, for so long")
	f.DurationVar(&o.hang, "hang", 0, "accept and never answer, for so long")
	f.DurationVar(&o.cut, "cut", 0, "close in the middle of the answer, for so long")
	f.DurationVar(&o.vanish, "vanish", 0, "refuse connections, for so long")
	f.DurationVar(&o.duration, "duration", 0, "how long to run, 0 = until interrupted")
	f.StringVar(&o.Tag, "tag", "", "attribute by which to check the order, see simulate terminal --tag")
	f.Uint64Var(&o.Seed, "seed", 1, "decides which requests fail")
	o.outputFlags.add(cmd)
}

// run serves until ctx or the duration ends, then prints the summary.
func (o *monitorFlags) run(ctx context.Context, out io.Writer, m *simulate.Monitor, system string) error {
	if err := o.complete(); err != nil {
		return err
	}
	m.Change(func(b *simulate.Behaviour) { *b = o.Behaviour })
	view := o.view(out)
	m.OnArrival(view.Arrival)
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %s; another program may have the port (--listen HOST:PORT)", o.listen, networkReason(err))
	}
	if !o.json && !o.quiet {
		fmt.Fprintf(out, "%s listens on http://%s\n", system, ln.Addr())
	}
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	err = o.serve(ctx, m, ln, view)
	view.Counts(system, m.Counts())
	return err
}

// complete checks the flags.
func (o *monitorFlags) complete() error {
	for _, s := range o.answers {
		m, err := parseMatch(s)
		if err != nil {
			return err
		}
		o.Match = append(o.Match, m)
	}
	return o.Behaviour.Validate()
}

// parseMatch reads ATTRIBUTE:TEXT=STATUS.
func parseMatch(s string) (simulate.Match, error) {
	i := strings.LastIndexByte(s, '=')
	name, text, ok := strings.Cut(s[:max(i, 0)], ":")
	status, err := strconv.Atoi(s[i+1:])
	if !ok || name == "" || err != nil {
		return simulate.Match{}, fmt.Errorf("--answer %q is not ATTRIBUTE:TEXT=STATUS, as in message:захвачена=422", s)
	}
	return simulate.Match{Attr: name, Text: text, Status: status}, nil
}

// serve runs the server and, beside it, the faults that last for a while.
func (o *monitorFlags) serve(ctx context.Context, m *simulate.Monitor, ln net.Listener, view *simulate.View) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	for d, set := range o.faults(m) {
		wg.Go(func() {
			if err := lasting(ctx, o.after, d, set); err != nil {
				failed <- err // only vanish can: a port that does not come back ends the program
				cancel()
			}
		})
	}
	if o.beside != nil {
		wg.Go(func() { o.beside(ctx, view) })
	}
	err := m.Serve(ctx, ln)
	cancel()
	wg.Wait()
	close(failed)
	return errors.Join(err, <-failed)
}

// faults gives how long each fault lasts and what switches it.
func (o *monitorFlags) faults(m *simulate.Monitor) iter.Seq2[time.Duration, func(on bool) error] {
	change := func(f func(*simulate.Behaviour, bool)) func(bool) error {
		return func(on bool) error {
			m.Change(func(b *simulate.Behaviour) { f(b, on) })
			return nil
		}
	}
	return func(yield func(time.Duration, func(bool) error) bool) {
		_ = yield(o.outage, change(func(b *simulate.Behaviour, on bool) { b.Outage = on })) &&
			yield(o.hang, change(func(b *simulate.Behaviour, on bool) { b.Hang = on })) &&
			yield(o.cut, change(func(b *simulate.Behaviour, on bool) { b.Cut = on })) &&
			yield(o.vanish, func(on bool) error {
				if on {
					m.Vanish()
					return nil
				}
				return m.Return()
			}) && o.yieldMore(yield)
	}
}

func (o *monitorFlags) yieldMore(yield func(time.Duration, func(bool) error) bool) bool {
	for _, f := range o.more {
		if !yield(f.d, f.set) {
			return false
		}
	}
	return true
}

// lasting switches a fault on after a while and off again; d = 0 means never.
func lasting(ctx context.Context, after, d time.Duration, set func(on bool) error) error {
	if d <= 0 || !passed(ctx, after) {
		return nil
	}
	if err := set(true); err != nil || !passed(ctx, d) {
		return err
	}
	return set(false)
}

// passed tells whether d passed before ctx ended.
func passed(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
