package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/bundle"
	"vestnik/internal/cli"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/internal/timeline"
	"vestnik/streams"
)

type bundleFlags struct {
	chosen
	place
	output   string
	unmasked bool
}

// bundleCommand packs an incident for a ticket (SPEC 10).
func bundleCommand() *cobra.Command {
	var f bundleFlags
	cmd := &cobra.Command{
		Use:   "bundle [ATM…]",
		Short: "Pack what is known of an incident into one zip for a ticket",
		Long: `Bundle packs the stored events of some terminals, or of all, in a window of time, as
JSON lines and as XML, with the states of their deliveries, the record of commands, the
status, versions, the digests of the configuration, the rules, and a picture of each
terminal. README.md in the zip says what is in it, and what is not and why.

A bundle leaves the bank: what may be card numbers is masked in it, unless --unmasked.
Secrets and configuration files are never in it. It packs the last 24 hours.
` + timesHelp + `
With --store it packs what a copied store has: events and commands.`,
		Example: `  vestnik bundle 40 --since 2h
  vestnik bundle 40 41 --since 2026-11-27 --until 2026-11-27 -o ticket-1234.zip
  vestnik bundle --since 30m
  vestnik bundle --store /mnt/atm-disk/vestnik/data --since 7d`,
	}
	f.defineTerminals(cmd, incidentSince, incidentUntil)
	f.place.define(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "`FILE` to write (default vestnik-TERMINAL-TIME.zip)")
	fl.BoolVar(&f.unmasked, "unmasked", false, "leave card numbers as they are: events byte for byte")
	cmd.Args = cobra.ArbitraryArgs
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := f.complete(args, time.Now()); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
	cmd.RunE = f.linked(func(ctx context.Context, cmd *cobra.Command, l *link) error {
		progress := newCourse(cmd.ErrOrStderr(), false)
		from, err := f.open(ctx, l, progress)
		if err != nil {
			return err
		}
		p := &packing{bundleFlags: &f, from: from, course: progress}
		if err := writeWhole(f.output, func(file *os.File) error { return p.pack(ctx, file) }); err != nil {
			return err
		}
		return p.report(cmd.OutOrStdout())
	})
	return cmd
}

func (f *bundleFlags) complete(args []string, now time.Time) error {
	if err := f.incident(args, now); err != nil {
		return err
	}
	if f.output == "" {
		name := "all"
		if len(f.terminals) == 1 {
			name = f.terminals[0]
		}
		f.output = fmt.Sprintf("vestnik-%s-%s.zip", name, f.to.UTC().Format("20060102T150405Z"))
	}
	return nil
}

// mostPictures is how many terminals of a bundle get pictures: the first that the events
// name.
const mostPictures = 20

// packing is one bundle being made.
type packing struct {
	*bundleFlags
	from   *source
	course *course

	b        *bundle.Writer
	status   *status
	pictures []*timeline.Collector
	unshown  map[string]bool // terminals without a picture
}

func (p *packing) pack(ctx context.Context, file *os.File) error {
	p.b = bundle.New(file, bundle.Options{From: p.chosen.from, To: p.to, Terminals: p.terminals, Source: p.from.name, Version: cli.Version(), Plain: p.unmasked})
	if err := p.events(ctx); err != nil {
		return err
	}
	for _, part := range []func(context.Context) error{p.deliveries, p.commands, p.state, p.versions, p.configuration, p.drawn} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return p.b.Close()
}

// events packs them in both forms, by one reading: the XML waits in a file beside.
func (p *packing) events(ctx context.Context) (err error) {
	spool, err := os.CreateTemp(filepath.Dir(p.output), "."+filepath.Base(p.output)+".xml.*")
	if err != nil {
		return fmt.Errorf("write %s: %w", p.output, err)
	}
	defer func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}()
	err = p.b.Add("events.jsonl", "the events in the order in which they were stored, a CloudEvent a line", func(w io.Writer) error {
		log, err := p.b.Log(w, spool)
		if err != nil {
			return err
		}
		q := p.query()
		q.Attrs = true
		err = collect(ctx, p.from, q, p.course, func(r replay.Record) error {
			p.draw(r)
			return log.Put(r)
		})
		return cmp.Or(err, log.End())
	})
	if err != nil {
		return err
	}
	p.missing("events", p.from.wrong())
	return p.b.Add("events.xml", "the same events as one XML document: the XML that the terminals sent, each in a <stored> that says when it came and where it lies", func(w io.Writer) error {
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(w, spool)
		return err
	})
}

// draw takes an event for the picture of its terminal.
func (p *packing) draw(r replay.Record) {
	terminal := streams.Terminal(r.Terminal) // it becomes part of a file name
	i := slices.IndexFunc(p.pictures, func(c *timeline.Collector) bool { return c.Terminal == terminal })
	if i < 0 {
		if len(p.pictures) == mostPictures {
			if p.unshown == nil {
				p.unshown = map[string]bool{}
			}
			p.unshown[terminal] = true
			return
		}
		i = len(p.pictures)
		p.pictures = append(p.pictures, &timeline.Collector{Terminal: terminal, Span: timeline.Span{From: p.chosen.from, To: p.to}, Notes: 200})
	}
	p.pictures[i].Event(r)
}

func (p *packing) deliveries(ctx context.Context) error {
	var lost []string
	err := p.b.Add("deliveries.jsonl", "the state of each event for each sink, as vestnik queue --json prints it", func(w io.Writer) (err error) {
		lost, err = deliveriesOf(ctx, p.from.link, p.chosen, func(e ledger.Entry) error {
			for _, c := range p.pictures {
				c.Delivery(e)
			}
			return p.b.Line(w, e)
		})
		return err
	})
	p.missing("deliveries.jsonl is empty", lost)
	return err
}

func (p *packing) commands(ctx context.Context) error {
	rows, lost, err := commandsOf(ctx, p.from, p.chosen)
	if err != nil {
		return err
	}
	p.missing("commands.jsonl", lost)
	return p.b.Add("commands.jsonl", "the commands to these terminals and what came of them, as vestnik audit --json prints it", func(w io.Writer) error {
		for _, r := range rows {
			for _, c := range p.pictures {
				c.Command(r)
			}
			if err := p.b.Line(w, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *packing) missing(what string, lost []string) {
	for _, why := range lost {
		if _, reason, ok := strings.Cut(why, " are not shown: "); ok { // the file has been named
			why = reason
		}
		p.b.Missing(what, why)
	}
}

func (p *packing) state(ctx context.Context) error {
	if p.from.link == nil {
		p.b.Missing("status.json", "this is a copy of the store")
		return nil
	}
	p.status = askStatus(ctx, p.from.link)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, one := range p.status.Programs {
		if !one.Running {
			p.b.Missing("status of "+one.Program, "it does not run here, or does not answer")
		}
	}
	return p.b.Add("status.json", "how the installation was when the bundle was packed, as vestnik status --json prints it", func(w io.Writer) error {
		return p.b.Line(w, p.status)
	})
}

// versions are those of everything that took part, as far as it tells.
func (p *packing) versions(context.Context) error {
	v := struct {
		Packed   string            `json:"packed_by"`
		Programs map[string]string `json:"programs"`
		NATS     string            `json:"nats_server"`
		Go       string            `json:"go"`
		OS       string            `json:"os"`
		Arch     string            `json:"arch"`
	}{Packed: cli.Version(), Programs: map[string]string{}, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if p.from.link != nil {
		v.NATS = p.from.link.nc.ConnectedServerVersion()
	}
	for _, one := range p.programs() {
		var said struct {
			Version string `json:"version"`
		}
		if json.Unmarshal(one.Status, &said) == nil && said.Version != "" {
			v.Programs[one.Program] = said.Version
		}
	}
	return p.b.Add("versions.json", "versions of the programs that answered, of the NATS server, and of Go and the system where it was packed", func(w io.Writer) error {
		return p.b.Line(w, v)
	})
}

func (p *packing) programs() []programStatus {
	if p.status == nil {
		return nil
	}
	return p.status.Programs
}

// configuration packs digests and the rules: no file that may hold secrets.
func (p *packing) configuration(context.Context) error {
	if p.from.link == nil || p.from.link.cfg == nil {
		p.b.Missing("configuration.json, rules.xml", "vestnik bundle ran without a configuration (-c FILE)")
		return nil
	}
	cfg := p.from.link.cfg
	sums := map[string]string{shown(cfg.File): cfg.Digest}
	for _, check := range []func() (verdict, error){func() (verdict, error) { return checkRulesFile(cfg) }, func() (verdict, error) { return checkServerFile(cfg) }} {
		v, err := check()
		switch {
		case err != nil:
			p.b.Missing("a digest in configuration.json", err.Error())
		case v.file != "":
			sums[v.file] = v.about
		}
	}
	err := p.b.Add("configuration.json", "digests (SHA-256) of the configuration files, as vestnik check prints them; the files themselves may hold secrets", func(w io.Writer) error {
		return p.b.Line(w, sums)
	})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(cfg.Rules)
	if err != nil {
		p.b.Missing("rules.xml", err.Error())
		return nil
	}
	return p.b.Add("rules.xml", "the rules as the file is now; status.json has the digest of those in force", func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func (p *packing) drawn(context.Context) error {
	slices.SortFunc(p.pictures, func(a, b *timeline.Collector) int { return strings.Compare(a.Terminal, b.Terminal) })
	for _, c := range p.pictures {
		err := p.b.Add("timeline-"+c.Terminal+".svg", "what happened at terminal "+c.Terminal+", drawn: for a browser, or paper", func(w io.Writer) error {
			return c.Picture().SVG(w, time.Local)
		})
		if err != nil {
			return err
		}
	}
	if n := len(p.unshown); n > 0 {
		p.b.Missing("pictures of "+counted(n, "terminal"), fmt.Sprintf("a bundle has %d at most", mostPictures))
	}
	return nil
}

// report says what was written, and what to mind.
func (p *packing) report(out io.Writer) error {
	info, err := os.Stat(p.output)
	if err != nil {
		return fmt.Errorf("look at %s: %w", p.output, err)
	}
	fmt.Fprintf(out, "wrote %s: %s, %d KB\n", p.output, counted(p.b.Events(), "event"), (info.Size()+1023)/1024)
	switch n := p.b.Cards(); {
	case n > 0 && p.unmasked:
		fmt.Fprintf(out, "It has what may be card numbers (in %s): treat it as card data.\n", counted(n, "place"))
	case n > 0:
		fmt.Fprintf(out, "What may be card numbers is masked (in %s).\n", counted(n, "place"))
	}
	return nil
}
