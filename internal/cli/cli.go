// Package cli is what the daemons (edge, router, sinks) have in common around
// their work: flags, configuration, log, signals, exit codes. A daemon's main is
//
//	func main() { cli.Main("edge", run) }
//
// Problems go to standard error; standard output stays empty but for -h and -v.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"vestnik/internal/config"
	"vestnik/internal/mask"
)

// A Program does a daemon's work until ctx ends, then stops cleanly and returns
// nil. An error is what it cannot go on with. It may be called again in the same
// process, with a changed configuration: r is where it asks for that and tells when
// it is ready; nil = it cannot be had.
type Program func(ctx context.Context, cfg *config.Config, log zerolog.Logger, r *Renewal) error

// A Check is what -t tests beyond the configuration itself, such as rules.xml.
// What is wrong comes back as FILE:LINE:COL: message, a line each.
type Check func(cfg *config.Config) error

// Main runs a daemon and exits: 0 after a clean end, else 1. SIGINT and SIGTERM
// end ctx; a second one ends the process at once.
func Main(name string, run Program, checks ...Check) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, stop := Interruptible(context.Background(), signals, func() { os.Exit(1) })
	code := Run(ctx, name, os.Args[1:], os.Stdout, os.Stderr, run, checks...)
	stop()
	os.Exit(code)
}

// Run is Main without the process: it returns the exit code.
func Run(ctx context.Context, name string, args []string, stdout, stderr io.Writer, run Program, checks ...Check) int {
	err := start(ctx, name, args, stdout, stderr, run, checks)
	if err != nil {
		Report(stderr, name, err)
		return 1
	}
	return 0
}

// DefaultConfig is the file that programs look for when -c is not given.
const DefaultConfig = "vestnik.conf"

type flags struct {
	config        string
	test, version bool
}

func start(ctx context.Context, name string, args []string, stdout, stderr io.Writer, run Program, checks []Check) error {
	f, err := parse(name, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help(stdout, name)
	case err != nil:
		return &UsageError{err, name + " -h"}
	case f.version:
		_, err = fmt.Fprintln(stdout, name, Version())
		return err
	}
	cfg, err := Load(f.config)
	if err != nil {
		return err
	}
	if f.test {
		return test(stderr, name, cfg, checks)
	}
	r := &Renewal{server: name == "edge", load: func() (*config.Config, error) { return whole(f.config, checks) }}
	err = r.live(ctx, cfg, func(cfg *config.Config) zerolog.Logger { return Logger(stderr, name, cfg.Log) }, run)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// whole loads a configuration and tests it as -t does.
func whole(file string, checks []Check) (*config.Config, error) {
	cfg, err := Load(file)
	if err != nil {
		return nil, err
	}
	return cfg, tested(cfg, checks)
}

func tested(cfg *config.Config, checks []Check) error {
	errs := []error{cfg.Files()}
	for _, check := range checks {
		errs = append(errs, check(cfg))
	}
	return errors.Join(errs...)
}

func parse(name string, args []string) (flags, error) {
	var f flags
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.config, "c", DefaultConfig, "")
	set.StringVar(&f.config, "config", DefaultConfig, "")
	set.BoolVar(&f.test, "t", false, "")
	set.BoolVar(&f.version, "v", false, "")
	set.BoolVar(&f.version, "version", false, "")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return f, nil
}

func help(w io.Writer, name string) error {
	_, err := fmt.Fprintf(w, `Usage: %s [flags]

  -c, -config FILE   configuration (default %s)
  -t                 test the configuration and end
  -v, -version       print the version and end
  -h, -help          print this and end

SIGINT or SIGTERM ends it cleanly, a second one at once. SIGHUP has it change over
to the configuration as it is on the disk now.
`, name, DefaultConfig)
	return err
}

// Load is config.Load with advice for who has no configuration yet.
func Load(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (vestnik init writes one, -c FILE names another)", err)
	}
	return cfg, err
}

// test reports on the configuration as nats-server -t does.
func test(stderr io.Writer, name string, cfg *config.Config, checks []Check) error {
	stderr = mask.Writer(stderr)
	for _, w := range cfg.Warnings {
		fmt.Fprintln(stderr, w)
	}
	if err := tested(cfg, checks); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stderr, "%s: configuration file %s is valid (%s)\n", name, cfg.File, cfg.Digest)
	return err
}

// Interruptible is a context that the first signal ends; the second calls kill.
// stop ends the context and the watching, and returns when both are done.
func Interruptible(ctx context.Context, signals <-chan os.Signal, kill func()) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for _, act := range []func(){cancel, kill} {
			select {
			case <-signals:
				act()
			case <-quit:
				return
			}
		}
	}()
	return ctx, func() { close(quit); <-done; cancel() }
}
