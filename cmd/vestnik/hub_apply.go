package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/hub"
	"vestnik/streams"
)

// wanted is what the hub's streams are to be.
type wanted struct {
	hubFolder
	replicas int
	maxBytes int64
	keep     string
	route    bool
	json     bool
}

func (w *wanted) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	w.flag(cmd)
	f.IntVar(&w.replicas, "replicas", 0, "on how many servers each stream is (default: by -c, else on all, at most 3)")
	f.Int64Var(&w.maxBytes, "max-bytes", 0, "how large EVT may grow (default: by -c, else as it is)")
	f.StringVar(&w.keep, "keep-age", "", "how old events of EVT may become, e.g. 90d (default: by -c, else as it is; 30d for a new one)")
	f.BoolVar(&w.route, "route", false, "with the streams of a router at the hub")
	f.BoolVar(&w.json, "json", false, "print JSON")
}

// options are those of the flags, else of a configuration with place: hub.
func (w *wanted) options(cmd *cobra.Command, l *link) (o streams.HubOptions, err error) {
	cfg := l.cfg
	if w.dir != "" && globalsOf(cmd).config != "" {
		if cfg, err = globalsOf(cmd).configuration(); err != nil {
			return o, err
		}
	}
	o = streams.HubOptions{Replicas: 3, Route: w.route, MaxBytes: w.maxBytes}
	if w.dir != "" {
		f, err := hub.Open(w.dir)
		if err != nil {
			return o, err
		}
		o.Replicas = min(3, len(f.Site.Servers))
	}
	if cfg != nil && cfg.Place == config.PlaceHub {
		o.Route, o.Replicas = o.Route || present(cfg.Rules), cfg.Hub.Replicas // a router has rules
		o.RouteBytes, o.DoneBytes = cfg.Store.RouteBytes, cfg.Store.DoneBytes
		if o.MaxBytes == 0 {
			o.MaxBytes = cfg.Store.EventsBytes
		}
	}
	if w.replicas != 0 {
		o.Replicas = w.replicas
	}
	if w.keep != "" {
		var ok bool
		if o.KeepAge, ok = config.ParseDuration(w.keep); !ok {
			return o, usageError(cmd, fmt.Errorf(`--keep-age %s: want a time such as "90d"`, w.keep))
		}
	}
	if w.keep == "" && !o.Route {
		if o.KeepAge, err = keptFor(cmd.Context(), l, cfg); err != nil {
			return o, err
		}
	}
	if o.Replicas < 1 || o.Replicas > 5 {
		return o, usageError(cmd, fmt.Errorf("--replicas %d: want 1 to 5", o.Replicas))
	}
	return o, nil
}

// keptFor is how old EVT's events become: as a hub's configuration says, else as it is.
func keptFor(ctx context.Context, l *link, cfg *config.Config) (time.Duration, error) {
	if cfg != nil && cfg.Place == config.PlaceHub {
		return cfg.Store.KeepAge, nil
	}
	evt, err := l.js.Stream(ctx, streams.EvtStream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return config.Default().Store.KeepAge, nil
	case err != nil:
		return 0, fmt.Errorf("look up stream %s: %w", streams.EvtStream, err)
	}
	return evt.CachedInfo().Config.MaxAge, nil
}

// startWait is how long apply waits for a hub that has just been started: until its
// servers listen, and have elected who leads.
const startWait = 30 * time.Second

// await returns when the hub's JetStream answers, or after startWait.
func (w *wanted) await(cmd *cobra.Command) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	told := false
	for end := time.Now().Add(startWait); time.Now().Before(end); {
		if w.answers(cmd) {
			return
		}
		if !told {
			fmt.Fprintln(cmd.ErrOrStderr(), "waiting for the hub …")
			told = true
		}
		select {
		case <-cmd.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// answers tells whether another look is of no use: JetStream has answered, whatever it says.
func (w *wanted) answers(cmd *cobra.Command) bool {
	l, err := w.connect(cmd, hub.Operator)
	if err != nil {
		return !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout)
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	_, err = l.js.Stream(ctx, streams.EvtStream)
	return err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
}

func (w *wanted) differences(ctx context.Context, cmd *cobra.Command) (*link, []hub.Difference, error) {
	l, err := w.connect(cmd, hub.Operator)
	if err != nil {
		return nil, nil, err
	}
	o, err := w.options(cmd, l)
	if err == nil {
		var list []hub.Difference
		if list, err = hub.Diff(ctx, l.js, streams.HubStreams(o)); err == nil {
			var more []hub.Difference
			if more, err = w.consumers(ctx, l); err == nil {
				return l, append(list, more...), nil
			}
		}
	}
	l.close()
	return nil, nil, err
}

// consumers compares those of the subscribers that the hub's folder knows of.
func (w *wanted) consumers(ctx context.Context, l *link) ([]hub.Difference, error) {
	if w.dir == "" {
		return nil, nil
	}
	f, err := hub.Open(w.dir)
	if err != nil {
		return nil, err
	}
	subscribers, err := f.Durables(time.Now())
	if err != nil {
		return nil, err
	}
	return hub.DiffConsumers(ctx, l.js, subscribers)
}

func hubDiffCommand() *cobra.Command {
	var w wanted
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Compare the hub's streams with what they are to be",
		Long: `Diff shows, field by field, where the hub's streams are not what they are to be, and, with
--hub, the consumers of subscribers who were enrolled with --durable. It changes nothing. Exit status: 0 = all is the same, 1 = something differs, 2 = it could not
be found out.`,
		Example: "  vestnik hub diff --hub hub\n  vestnik hub diff -c vestnik.conf",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			l, list, err := w.differences(ctx, cmd)
			if err != nil {
				return &exitError{err, 2}
			}
			defer l.close()
			if err := w.print(cmd, list); err != nil {
				return &exitError{err, 2}
			}
			for _, d := range list {
				if !d.Same() {
					return &exitError{errors.New("the hub's streams are not as they are to be: vestnik hub apply makes them so"), 1}
				}
			}
			return nil
		},
	}
	w.flags(cmd)
	return cmd
}

func hubApplyCommand() *cobra.Command {
	var w wanted
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make the hub's streams what they are to be",
		Long: `Apply makes the hub's streams that are missing, and changes those that differ from what
they are to be, as vestnik hub diff shows; a hub that starts is waited for. It never deletes a stream, and leaves one as it
is where a change would remove stored events.`,
		Example: "  vestnik hub apply --hub hub\n  vestnik hub apply --hub hub --max-bytes 500000000000 --keep-age 90d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w.await(cmd)
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			l, list, err := w.differences(ctx, cmd)
			if err != nil {
				return err
			}
			defer l.close()
			if err := w.print(cmd, list); err != nil {
				return err
			}
			ctx, refuse := context.WithCancelCause(ctx)
			defer refuse(nil)
			l.nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrPermissionViolation) {
					refuse(fmt.Errorf("not permitted for this user: %w", err)) // no answer will come
				}
			})
			var failed []error
			for _, d := range list {
				if err := d.Apply(ctx, l.js); err != nil && ctx.Err() != nil {
					return fmt.Errorf("stream %s: %w", d.Stream, context.Cause(ctx))
				} else if err != nil {
					failed = append(failed, err)
				} else if d.Consumer != "" && d.Missing {
					fmt.Fprintf(cmd.ErrOrStderr(), "subscriber %s has his consumer again: it begins with the oldest event of %s, and he may get some twice\n", d.Consumer, d.Stream)
				}
			}
			return errors.Join(failed...)
		},
	}
	w.flags(cmd)
	return cmd
}

func (w *wanted) print(cmd *cobra.Command, list []hub.Difference) error {
	out := cmd.OutOrStdout()
	if w.json {
		text, err := json.Marshal(list)
		if err != nil {
			return fmt.Errorf("print: %w", err)
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	}
	p := newPage(out)
	columns := []column{{"STREAM", 8, false}, {"SETTING", 20, false}, {"IS", 24, false}, {"IS TO BE", 0, false}}
	fmt.Fprintln(p, p.line(columns, titles(columns)))
	for _, d := range list {
		about := ""
		if d.Consumer != "" {
			about = "consumer " + d.Consumer
		}
		switch {
		case d.Missing:
			fmt.Fprintln(p, p.line(columns, []string{d.Stream, about, "not there", "there"}, "", "", "33"))
		case d.Same():
			fmt.Fprintln(p, p.line(columns, []string{d.Stream, about, "as it is to be", ""}, "", "", "32"))
		}
		for _, f := range d.Changed() {
			fmt.Fprintln(p, p.line(columns, []string{d.Stream, strings.TrimSpace(about + " " + f.Name), f.Have, f.Want}, "", "", "31", "32"))
		}
		if d.Problem != "" {
			fmt.Fprintf(p, "%s: stays as it is: %s\n", d.Stream, d.Problem)
		}
	}
	return nil
}
