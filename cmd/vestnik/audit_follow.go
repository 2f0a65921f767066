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
	found *findings // nil = not read yet
}

// betweenConnections is how long --follow waits before it tries again to connect.
const betweenConnections = 500 * time.Millisecond

// keepOn prints what is there and what comes, until interrupted. Once it has read the
// record it outlives a restart of the broker, and misses and repeats nothing.
func (f *auditFlags) keepOn(cmd *cobra.Command) error {
	t := auditTail{auditPrinter: f.printer(cmd.OutOrStdout())}
	return overConnections(cmd, func() bool { return t.found != nil }, t.session)
}

// overConnections runs sessions, each with a connection, one after the other, until
// interrupted. A session that ends otherwise than with its connection is the last one; so
// is one before work has begun.
func overConnections(cmd *cobra.Command, begun func() bool, session func(ctx context.Context, l *link) error) error {
	for {
		connected := false
		err := linked(func(ctx context.Context, _ *cobra.Command, l *link, _ []string) error {
			connected = true
			return session(ctx, l)
		})(cmd, nil)
		switch {
		case cmd.Context().Err() != nil:
			return nil // that is how following ends
		case !begun(), connected && !errors.Is(err, errLost):
			return err
		}
		if connected { // else it has been said
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
	for _, row := range t.found.add(m.Subject(), m.Data()) {
		if row.State == audit.StateOpen || !t.wants(row, time.Now()) {
			continue
		}
		if err := t.row(row); err != nil {
			return err
		}
	}
	return nil
}
