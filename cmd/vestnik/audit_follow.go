package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/audit"
	"vestnik/streams"
)

// auditTail prints the record of commands as it grows, over the ends of connections.
type auditTail struct {
	auditPrinter
	found     *findings // nil = not read yet
	connected bool
}

// betweenConnections is how long audit --follow waits before it tries again to connect.
const betweenConnections = 500 * time.Millisecond

// keepOn prints what is there and what comes, until interrupted. Once it has read the
// record it outlives a restart of the broker, and misses and repeats nothing.
func (f *auditFlags) keepOn(cmd *cobra.Command) error {
	t := auditTail{auditPrinter: f.printer(cmd.OutOrStdout())}
	session := linked(func(ctx context.Context, _ *cobra.Command, l *link, _ []string) error { return t.session(ctx, l) })
	for {
		t.connected = false
		err := session(cmd, nil)
		switch {
		case cmd.Context().Err() != nil:
			return nil // that is how following ends
		case t.found == nil, t.connected && !errors.Is(err, errLost):
			return err
		}
		if t.connected { // else it has been said
			fmt.Fprintf(cmd.ErrOrStderr(), "vestnik: %s; goes on when it is back\n", err)
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(betweenConnections):
		}
	}
}

// session goes on from where the one before has ended.
func (t *auditTail) session(ctx context.Context, l *link) (err error) {
	t.connected = true
	if t.found == nil {
		found, err := t.search(ctx, l)
		if err != nil {
			return err
		}
		t.found = found
		if err := t.list(found); err != nil {
			return err
		}
	} else if _, err := streams.Await(ctx, l.js, streams.Audit); err != nil { // the broker may just be starting
		return err
	}
	from := streams.From{Seq: t.found.last + 1, Subjects: t.subjects(), Ahead: ahead}
	return streams.Follow(ctx, l.js, streams.Audit, from, func(m jetstream.Msg) error {
		if err := t.told(m); err != nil {
			return err
		}
		t.found.last = streams.Seq(m)
		return nil
	})
}

// told prints the commands that a record settles.
func (t *auditTail) told(m jetstream.Msg) error {
	for _, row := range t.found.add(m) {
		if row.State == audit.StateOpen || !t.wants(row, time.Now()) {
			continue
		}
		if err := t.row(row); err != nil {
			return err
		}
	}
	return nil
}
