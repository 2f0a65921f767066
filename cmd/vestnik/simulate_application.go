package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/cli"
	"vestnik/internal/simulate"
)

// applicationFlags are those of the part that answers commands (SPEC 7).
type applicationFlags struct {
	simulate.ApplicationOptions
	simulate.ApplicationBehaviour
	listen       string
	given        bool // --listen was given: not to get the port is an error
	events       bool
	fault        string
	dispense     int
	executedFile string
	stderr       io.Writer
}

func (o *applicationFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:3334", "`HOST:PORT` where commands are taken, empty = nowhere (with -c: terminal.application)")
	f.BoolVar(&o.events, "events", true, "send events; --events=false only answers commands and reports their course")
	f.StringVar(&o.fault, "answer-fault", "", "what is wrong with the answers to commands: silent, close, cut, malformed, truncated, wrong-id, signature, few, big")
	f.StringSliceVar(&o.FaultFor, "answer-fault-for", nil, "only answers to these commands, e.g. REBOOT,RESET")
	f.DurationVar(&o.Delay, "answer-delay", 0, "between the execution of commands and the answer")
	f.StringSliceVar(&o.Missing, "missing", nil, "devices that the terminal lacks, e.g. CDM,CIM.CashCode1")
	f.StringSliceVar(&o.ResetFails, "reset-fails", nil, "devices whose RESET fails, e.g. CIM")
	f.BoolVar(&o.RebootFails, "reboot-fails", false, "REBOOT cannot be started")
	f.BoolVar(&o.NoVersions, "no-versions", false, "software versions cannot be had (code 145)")
	f.BoolVar(&o.NoDeviceInfo, "no-device-info", false, "nothing is known of the hardware (code 121; with --no-versions 111)")
	f.DurationVar(&o.Step, "step", 200*time.Millisecond, "what GO_IN_SERVICE and GO_OUT_OF_SERVICE take")
	f.DurationVar(&o.RebootTime, "reboot-time", 2*time.Second, "how long nobody answers while the terminal reboots")
	f.DurationVar(&o.RebootWait, "reboot-wait", 30*time.Second, "how long REBOOT waits for a client to go")
	f.DurationVar(&o.Client, "client", 0, "from the start on a client is served for so long")
	f.IntVar(&o.dispense, "dispense", 0, "notes that go out of every terminal's cassettes each second")
	f.StringVar(&o.executedFile, "executed", "", "`FILE` that gets a line per command before it is answered, on the disk: atm id name params")
}

// complete fills in what the flags leave open: with -c from the configuration.
func (o *terminalFlags) completeApplication(cmd *cobra.Command) error {
	a, changed := &o.application, cmd.Flags().Changed
	a.given, a.stderr = changed("listen"), cmd.ErrOrStderr()
	named := changed("atm")
	if file := globalsOf(cmd).config; file != "" {
		cfg, err := cli.Load(file)
		if err != nil {
			return err
		}
		if !a.given && cfg.Terminal.Application != "" {
			a.listen = cfg.Terminal.Application
		}
		if !named && cfg.ATM != "" {
			o.ATM, named = []string{cfg.ATM}, true
		}
	}
	if named && len(o.ATM) == 1 && o.Terminals <= 1 {
		a.ATM = o.ATM[0]
	}
	if !a.given && (o.once != "" || o.list) {
		a.listen = ""
	}
	a.Fault = simulate.AnswerFault(a.fault)
	a.Events, a.Signature, a.Order = o.port.addr, o.port.signature, o.port.order()
	a.RetryPause, a.Seed, a.Keep = o.RetryPause, o.Seed, 1
	return errors.Join(a.ApplicationOptions.Validate(), a.ApplicationBehaviour.Validate())
}

// open listens; nil = commands are not taken. That somebody has the default port is
// told and does no harm to events.
func (o *applicationFlags) open() (net.Listener, error) {
	if o.listen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", o.listen)
	if err == nil {
		return ln, nil
	}
	reason := fmt.Errorf("cannot listen for commands on %s: %s; another program may have the port (--listen HOST:PORT)", o.listen, networkReason(err))
	if o.given || !o.events {
		return nil, reason
	}
	fmt.Fprintf(o.stderr, "%s; events only\n", reason)
	return nil, nil
}

// beside runs work and, beside it, the application that takes commands; the end of
// one ends the other.
func (o *terminalFlags) beside(ctx context.Context, out io.Writer, view *simulate.View, work func(context.Context) error) error {
	ln, err := o.application.open()
	if err != nil {
		return err
	}
	if ln == nil {
		return work(ctx)
	}
	o.tellListening(out, ln)
	record, err := o.application.record()
	if err != nil {
		ln.Close()
		return err
	}
	app := o.play(view, record)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var served, worked error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		served = app.Serve(ctx, ln)
	})
	wg.Go(func() { o.application.empty(ctx, app) })
	wg.Go(func() { record.watch(ctx, cancel) })
	worked = work(ctx)
	cancel()
	wg.Wait()
	if c := app.Counts(); c.Messages > 0 || !o.application.events {
		view.Application(c)
	}
	return errors.Join(worked, served, record.close())
}

// play makes the application that the flags describe.
func (o *terminalFlags) play(view *simulate.View, r *record) *simulate.Application {
	app := simulate.NewApplication(o.application.ApplicationOptions)
	app.Change(func(b *simulate.ApplicationBehaviour) { *b = o.application.ApplicationBehaviour })
	app.OnEvent(view.Sent)
	app.OnCommand(func(e simulate.Executed) {
		r.write(e)
		view.Command(e)
	})
	return app
}

func (o *terminalFlags) tellListening(out io.Writer, ln net.Listener) {
	if o.json || o.quiet {
		if !o.application.given {
			return
		}
		out = o.application.stderr
	}
	fmt.Fprintf(out, "terminal application listens on %s\n", ln.Addr())
}

// empty lets notes go out of the cassettes.
func (o *applicationFlags) empty(ctx context.Context, app *simulate.Application) {
	for o.dispense > 0 && passed(ctx, time.Second) {
		for _, atm := range app.Terminals() {
			app.Dispense(atm, o.dispense)
		}
	}
}

// A record is the file of executed commands; without a name it keeps none. Its first
// failure ends the program: a count that may be short is worth nothing.
type record struct {
	file   *os.File
	err    error         // the first failure
	broken chan struct{} // closed then
}

func (o *applicationFlags) record() (*record, error) {
	r := &record{broken: make(chan struct{})}
	if o.executedFile == "" {
		return r, nil
	}
	f, err := os.OpenFile(o.executedFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("record of executed commands: %w", err)
	}
	r.file = f
	return r, nil
}

// write puts a line on the disk. Calls do not overlap.
func (r *record) write(e simulate.Executed) {
	if r.file == nil || r.err != nil || !e.Carried() {
		return
	}
	words := []string{e.ATM, word(e.ID), word(e.Name)}
	for _, p := range e.Params {
		words = append(words, word(p.Value))
	}
	_, err := r.file.WriteString(strings.Join(words, " ") + "\n")
	if err == nil {
		err = r.file.Sync()
	}
	if err != nil {
		r.err = fmt.Errorf("record of executed commands: %w", err)
		close(r.broken)
	}
}

// watch calls stop when a write failed.
func (r *record) watch(ctx context.Context, stop func()) {
	select {
	case <-r.broken:
		stop()
	case <-ctx.Done():
	}
}

// close gives the first failure, when nobody writes any more.
func (r *record) close() error {
	if r.file != nil {
		r.file.Close()
	}
	return r.err
}

// word quotes what would not be read as one word.
func word(s string) string {
	if q := strconv.Quote(s); s == "" || strings.Contains(s, " ") || q != `"`+s+`"` {
		return q
	}
	return s
}
