package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/audit"
	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/streams"
)

// commandsOf is the record of the commands that are wanted, the oldest first, and
// sentences on what of it is missing.
func commandsOf(ctx context.Context, from *source, c chosen) ([]*audit.Row, []string, error) {
	found, why, err := findCommands(ctx, from, &auditFlags{chosen: c})
	if err != nil || found == nil {
		return nil, why, err
	}
	if found.begins.After(c.from) {
		why = append(why, "The record of commands begins at "+found.begins.Local().Format(time.DateTime)+": what was older has made room.")
	}
	return found.rows, why, nil
}

func findCommands(ctx context.Context, from *source, f *auditFlags) (found *findings, why []string, err error) {
	if from.link == nil {
		for _, r := range from.copied {
			if r.Stream() != streams.Audit {
				continue
			}
			found, err = f.copied(ctx, r)
			for _, line := range damageOf(r) {
				why = append(why, "The record of commands: "+line+".")
			}
			return found, why, err
		}
		return nil, []string{"Commands are not shown: the copy of the store has no record of commands (stream " + streams.Audit + ")."}, nil
	}
	if _, err := from.link.js.Stream(ctx, streams.Audit); errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, []string{"Commands are not shown: there is no record of commands (stream " + streams.Audit + ") here; each edge has its own."}, nil
	}
	found, err = f.search(ctx, from.link)
	return found, nil, err
}

// deliveriesOf hands out the states of the window's events for each sink, where a router
// has ever run; lost says if none has.
func deliveriesOf(ctx context.Context, l *link, c chosen, f func(ledger.Entry) error) (lost []string, err error) {
	if l == nil {
		return []string{"Deliveries are not shown: this is a copy of the store; start a nats-server on a copy of it, and ask that (--server)."}, nil
	}
	if l.routedElsewhere() {
		return []string{"Deliveries are not shown: the events of this edge are routed at the hub; ask there."}, nil
	}
	if _, err := l.js.Stream(ctx, streams.Route); errors.Is(err, jetstream.ErrStreamNotFound) {
		return []string{"Deliveries are not shown: no router has run here (stream " + streams.Route + ")."}, nil
	}
	q := ledger.Query{Place: l.place(ctx)}
	if len(c.terminals) == 1 {
		q.Terminal = c.terminals[0]
	}
	return nil, ledger.Read(ctx, l.js, q, func(e ledger.Entry) error {
		if !c.of(e.Terminal) || !c.has(event.ReceivedAt(e.ID)) {
			return nil
		}
		return f(e)
	})
}

// writeWhole writes a file so that it is there whole or not at all, and never in the place
// of another.
func writeWhole(name string, write func(*os.File) error) error {
	if _, err := os.Lstat(name); err == nil { // a link to nothing is there, too
		return fmt.Errorf("%s is there already: choose another name", name)
	}
	f, err := besides(name)
	if err != nil {
		return err
	}
	if err := write(f.File); err != nil {
		return f.end(err)
	}
	if err := f.end(nil); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
