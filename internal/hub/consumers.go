package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// Consumer is that of a subscriber who was enrolled with one, who reads what begin says.
func Consumer(name string, filter []string, begin jetstream.DeliverPolicy) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{Durable: name, Description: "Subscriber " + name + " (Vestnik)", AckPolicy: jetstream.AckExplicitPolicy,
		DeliverPolicy: begin, MaxAckPending: 10_000, FilterSubjects: filter}
}

// Durables are the subscribers who are to have a consumer: of each the newest enrolment,
// if it is with one and good.
func (f *Folder) Durables(now time.Time) ([]Credential, error) {
	all, err := f.Credentials()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var list []Credential
	for _, c := range slices.Backward(all) {
		if c.Subscriber == "" || seen[c.Subscriber] {
			continue
		}
		seen[c.Subscriber] = true
		if c.Durable && c.Good(now) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Credential) int { return strings.Compare(a.Subscriber, b.Subscriber) })
	return list, nil
}

// DiffConsumers compares the consumers of subscribers with those that are there: one goes
// with EVT when that is deleted. One that is made again begins with EVT's oldest event, so
// that its subscriber misses none; he may get some twice.
func DiffConsumers(ctx context.Context, js jetstream.JetStream, subscribers []Credential) (list []Difference, err error) {
	for _, s := range subscribers {
		d := Difference{Stream: streams.EvtStream, Consumer: s.Subscriber, subjects: s.Subjects}
		c, err := js.Consumer(ctx, streams.EvtStream, s.Subscriber)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			d.Missing = true
		case err != nil:
			return nil, fmt.Errorf("look up consumer %s of %s: %w", s.Subscriber, streams.EvtStream, err)
		default:
			d.consumer = c.CachedInfo().Config
			d.Fields = []Field{{Name: "filter", Want: sorted(s.Subjects), Have: sorted(filterOf(d.consumer))}}
		}
		list = append(list, d)
	}
	return list, nil
}

func sorted(list []string) string { return strings.Join(slices.Sorted(slices.Values(list)), " ") }

func filterOf(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// applyConsumer makes a consumer that is missing, or has it read what it is to.
func (d Difference) applyConsumer(ctx context.Context, js jetstream.JetStream) error {
	c := Consumer(d.Consumer, d.subjects, jetstream.DeliverAllPolicy)
	switch {
	case d.Same():
		return nil
	case !d.Missing:
		c = d.consumer
		c.FilterSubject, c.FilterSubjects = "", d.subjects
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, d.Stream, c); err != nil {
		return fmt.Errorf("make consumer %s of %s: %w", d.Consumer, d.Stream, err)
	}
	return nil
}
