package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// follow feeds the tally from the four streams until ctx ends.
func (t *tally) follow(ctx context.Context, js jetstream.JetStream, failed chan<- error, done func()) {
	for stream, take := range map[string]func(jetstream.Msg) error{
		streams.Events: t.takeEvents, streams.Route: t.takeRoute, streams.Done: t.takeDone, streams.Audit: t.takeAudit,
	} {
		go func() {
			defer done()
			if _, err := streams.Await(ctx, js, stream); err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
			err := streams.Follow(ctx, js, stream, streams.From{}, take)
			if err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("follow %s: %w", stream, err)
			}
		}()
	}
}

// followers is how many goroutines follow starts.
const followers = 4

func (t *tally) takeEvents(m jetstream.Msg) error {
	events, err := event.Parse(event.Header(m.Headers()), m.Data())
	if err != nil {
		return fmt.Errorf("message %d of EVENTS: %w", streams.Seq(m), err)
	}
	t.mu.Lock()
	t.packs++
	t.mu.Unlock()
	for _, e := range events {
		if e.Attrs, err = proatm.Attributes(e.Raw); err != nil {
			return fmt.Errorf("event %s: %w", e.ID, err)
		}
		t.event(e)
	}
	return nil
}

func (t *tally) takeRoute(m jetstream.Msg) error {
	f := strings.Split(m.Subject(), ".")
	switch {
	case f[0] == "out" && len(f) == 5:
		t.queued(f[1], f[2], m)
	case strings.HasPrefix(m.Subject(), "rt.held."):
		t.kept(m.Headers().Get(streams.HeaderSink), streams.StateHeld, m)
	case m.Subject() == streams.Rules:
		t.rules()
	case strings.HasPrefix(m.Subject(), "rt.done.") && len(f) == 4:
		t.kept(f[2], streams.StateSuppressed, m)
	}
	return nil
}

func (t *tally) takeDone(m jetstream.Msg) error {
	f := strings.Split(m.Subject(), ".")
	if f[0] != "done" {
		return nil
	}
	if len(f) < 3 {
		return errors.New("DONE: subject " + m.Subject())
	}
	list, err := streams.ParseOutcomes(m.Data())
	if err != nil {
		return err
	}
	for _, o := range list {
		t.outcome(f[1], o)
	}
	return nil
}
