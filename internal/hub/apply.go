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

// Difference is what a stream of the hub, or a subscriber's consumer, is to be and is.
type Difference struct {
	Stream   string  `json:"stream"`
	Consumer string  `json:"consumer,omitempty"` // of the stream: it is about this
	Missing  bool    `json:"missing,omitempty"`
	Fields   []Field `json:"fields"` // all that are compared, where it is there
	Problem  string  `json:"problem,omitempty"`

	want jetstream.StreamConfig
	have jetstream.StreamInfo

	consumer jetstream.ConsumerConfig // which is there
	subjects []string                 // that it is to have
}

// Field is one setting of a stream.
type Field struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Have string `json:"have"`
}

// Same tells whether nothing is to be done.
func (d Difference) Same() bool { return !d.Missing && len(d.Changed()) == 0 }

// Changed are the fields that differ.
func (d Difference) Changed() []Field {
	return slices.DeleteFunc(slices.Clone(d.Fields), func(f Field) bool { return f.Want == f.Have })
}

// field is a setting that is compared: how it shows, and how it is taken over.
type field struct {
	name string
	show func(jetstream.StreamConfig) string
	set  func(to *jetstream.StreamConfig, from jetstream.StreamConfig)
	// fixed is why JetStream cannot change it, "" = it can
	fixed string
	// open = nothing is wanted: what is there stays
	open func(want jetstream.StreamConfig) bool
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func limit(n int64) string {
	if n <= 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func span(d time.Duration) string {
	if d <= 0 {
		return "none"
	}
	return d.String()
}

// fields is the table of what is compared. What stands in no row is the server's or the
// operator's business: placement, metadata.
var fields = []field{
	{name: "subjects", show: func(c jetstream.StreamConfig) string { return strings.Join(c.Subjects, " ") },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.Subjects = from.Subjects }},
	{name: "replicas", show: func(c jetstream.StreamConfig) string { return fmt.Sprint(max(1, c.Replicas)) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.Replicas = from.Replicas }},
	{name: "storage", show: func(c jetstream.StreamConfig) string { return c.Storage.String() }, fixed: "a stream's storage cannot be changed"},
	{name: "retention", show: func(c jetstream.StreamConfig) string { return c.Retention.String() },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.Retention = from.Retention }},
	{name: "max_bytes", show: func(c jetstream.StreamConfig) string { return limit(c.MaxBytes) },
		set:  func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.MaxBytes = from.MaxBytes },
		open: func(want jetstream.StreamConfig) bool { return want.MaxBytes == 0 }},
	{name: "max_age", show: func(c jetstream.StreamConfig) string { return span(c.MaxAge) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.MaxAge = from.MaxAge }},
	{name: "max_msgs", show: func(c jetstream.StreamConfig) string { return limit(c.MaxMsgs) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.MaxMsgs = from.MaxMsgs }},
	{name: "max_msgs_per_subject", show: func(c jetstream.StreamConfig) string { return limit(c.MaxMsgsPerSubject) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) {
			to.MaxMsgsPerSubject = from.MaxMsgsPerSubject
		}},
	{name: "discard", show: func(c jetstream.StreamConfig) string { return c.Discard.String() },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.Discard = from.Discard }},
	{name: "duplicates", show: func(c jetstream.StreamConfig) string { return span(c.Duplicates) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.Duplicates = from.Duplicates }},
	{name: "allow_direct", show: func(c jetstream.StreamConfig) string { return yes(c.AllowDirect) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.AllowDirect = from.AllowDirect }},
	{name: "allow_atomic", show: func(c jetstream.StreamConfig) string { return yes(c.AllowAtomicPublish) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) {
			to.AllowAtomicPublish = from.AllowAtomicPublish
		}},
	{name: "allow_rollup", show: func(c jetstream.StreamConfig) string { return yes(c.AllowRollup) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.AllowRollup = from.AllowRollup }},
	{name: "allow_msg_ttl", show: func(c jetstream.StreamConfig) string { return yes(c.AllowMsgTTL) }, fixed: "times to live cannot be taken from a stream that allows them"},
	{name: "persist_mode", show: func(c jetstream.StreamConfig) string {
		if c.PersistMode == jetstream.AsyncPersistMode {
			return "async"
		}
		return "sync"
	}, fixed: "a stream's persist mode cannot be changed"},
	{name: "deny_delete", show: func(c jetstream.StreamConfig) string { return yes(c.DenyDelete) }, fixed: "deny_delete cannot be taken back"},
	{name: "deny_purge", show: func(c jetstream.StreamConfig) string { return yes(c.DenyPurge) }, fixed: "deny_purge cannot be taken back"},
	{name: "sealed", show: func(c jetstream.StreamConfig) string { return yes(c.Sealed) }, fixed: "a sealed stream takes nothing any more"},
	{name: "no_ack", show: func(c jetstream.StreamConfig) string { return yes(c.NoAck) },
		set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.NoAck = from.NoAck }},
	{name: "republish", show: func(c jetstream.StreamConfig) string {
		if c.RePublish == nil {
			return "no"
		}
		return c.RePublish.Source + " to " + c.RePublish.Destination
	}, set: func(to *jetstream.StreamConfig, from jetstream.StreamConfig) { to.RePublish = from.RePublish }},
}

// Diff compares the streams that are wanted with those that are there. It changes nothing.
func Diff(ctx context.Context, js jetstream.JetStream, wanted []jetstream.StreamConfig) (list []Difference, err error) {
	for _, want := range wanted {
		d := Difference{Stream: want.Name, want: want}
		s, err := js.Stream(ctx, want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			d.Missing = true
			d.byEvt(list)
		case err != nil:
			return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
		default:
			d.have = *s.CachedInfo()
			d.compare()
			if err := d.unrouted(ctx, js); err != nil {
				return nil, err
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// byEvt gives ROUTE and DONE, where they are made, the limits that they have by default
// beside EVT, which stands before them in the list.
func (d *Difference) byEvt(list []Difference) {
	if d.want.MaxBytes != 0 || len(list) == 0 {
		return
	}
	evt := list[0].want.MaxBytes
	if evt == 0 {
		evt = list[0].have.Config.MaxBytes
	}
	switch route, done := streams.BytesBeside(evt); d.Stream {
	case streams.Route:
		d.want.MaxBytes = route
	case streams.Done:
		d.want.MaxBytes = done
	}
}

func (d *Difference) compare() {
	for _, f := range fields {
		v := Field{Name: f.name, Have: f.show(d.have.Config), Want: f.show(d.want)}
		if f.open != nil && f.open(d.want) {
			v.Want = v.Have
		}
		d.Fields = append(d.Fields, v)
		if v.Want != v.Have && d.Problem == "" {
			d.Problem = d.problem(f)
		}
	}
}

// problem is why a field cannot be what is wanted, "" = it can.
func (d *Difference) problem(f field) string {
	if f.set == nil {
		return f.fixed
	}
	if stored := d.have.State.Bytes; f.name == "max_bytes" && d.want.MaxBytes > 0 && uint64(d.want.MaxBytes) < stored {
		return fmt.Sprintf("it holds %d bytes: a limit of %d would remove events", stored, d.want.MaxBytes)
	}
	if f.name == "max_age" && d.want.MaxAge > 0 {
		if oldest := d.have.State.FirstTime; d.have.State.Msgs > 0 && time.Since(oldest) > d.want.MaxAge {
			return fmt.Sprintf("its oldest event is of %s: an age of %s would remove events", oldest.UTC().Format(time.RFC3339), d.want.MaxAge)
		}
	}
	return ""
}

// unrouted refuses to have EVT make room by itself where a router works: nothing may leave
// it before that has routed it.
func (d *Difference) unrouted(ctx context.Context, js jetstream.JetStream) error {
	if d.Problem != "" || d.Stream != streams.EvtStream || d.want.Discard != jetstream.DiscardOld || d.have.Config.Discard != jetstream.DiscardNew {
		return nil
	}
	_, err := js.Stream(ctx, streams.Route)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up stream %s: %w", streams.Route, err)
	}
	d.Problem = "a router works here (stream ROUTE): events that are not routed yet would make room; --route keeps them, and where no router works any more, delete ROUTE first"
	return nil
}

// Apply makes a stream what is wanted. It refuses to change a limit so that stored events
// would go, and it never deletes a stream.
func (d Difference) Apply(ctx context.Context, js jetstream.JetStream) error {
	switch {
	case d.Consumer != "":
		return d.applyConsumer(ctx, js)
	case d.Problem != "":
		return fmt.Errorf("stream %s stays as it is: %s", d.Stream, d.Problem)
	case d.Missing:
		if _, err := js.CreateStream(ctx, d.want); err != nil {
			return fmt.Errorf("make stream %s: %w", d.Stream, err)
		}
	case !d.Same():
		cfg := d.have.Config
		for i, f := range fields {
			if f.set != nil && d.Fields[i].Want != d.Fields[i].Have {
				f.set(&cfg, d.want)
			}
		}
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("change stream %s: %w", d.Stream, err)
		}
	}
	return nil
}
