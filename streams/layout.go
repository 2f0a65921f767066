package streams

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Layout is where a router and its sinks stand (SPEC 10: at the edge or at the hub, the
// same programs): which stream they take events from, which of its messages are theirs,
// and how the streams beside them are made. Its zero value is the edge.
type Layout struct {
	Hub      bool // else edge
	Replicas int  // of the streams at a hub
}

// Input is the stream that events are taken from.
func (l Layout) Input() string {
	if l.Hub {
		return EvtStream
	}
	return Events
}

// Mine tells whether the events of a message of the input are routed here. A terminal is
// routed at one place: at the hub those that their edge has marked.
func (l Layout) Mine(h nats.Header) bool { return !l.Hub || h.Get(HeaderRouted) == RoutedHub }

// Incarnations are the lives of the input's numbering. EVT has one, its own: what was
// routed of a stream that is made anew says nothing of the new one.
func (l Layout) Incarnations(info *jetstream.StreamInfo) []Incarnation {
	if l.Hub {
		return []Incarnation{{ID: strconv.FormatInt(info.Created.UnixNano(), 36), First: 1}}
	}
	return Incarnations(info.Config.Metadata)
}

// RouteConfig is ROUTE at this place. At a hub it is written like every other stream
// there, before it is acknowledged: several replicas and a late write exclude each other.
func (l Layout) RouteConfig(maxBytes int64) jetstream.StreamConfig {
	cfg := l.beside(RouteConfig(maxBytes))
	if l.Hub {
		cfg.PersistMode = jetstream.DefaultPersistMode
	}
	return cfg
}

// DoneConfig is DONE at this place.
func (l Layout) DoneConfig(maxBytes int64) jetstream.StreamConfig {
	return l.beside(DoneConfig(maxBytes))
}

// leastDone is DONE's least limit by default: outcomes and what is set aside need
// some room however small the store.
const leastDone = 8 << 20

// hubRoute is ROUTE's limit by default where EVT has none of its own.
const hubRoute = 4 << 30

// BytesBeside are the limits of ROUTE and DONE by default, beside an input of this limit.
func BytesBeside(input int64) (route, done int64) {
	if input <= 0 {
		input = hubRoute
	}
	return input, max(input/4, leastDone)
}

// beside: at a hub single messages are read from the stream's leader. A direct get may be
// answered by a server that has not got them yet, and "not there" has a meaning to us.
func (l Layout) beside(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	if l.Hub {
		cfg.Replicas, cfg.AllowDirect = l.replicas(), false
	}
	return cfg
}

// ControlConfig and PolledConfig are the buckets at this place.
func (l Layout) ControlConfig() jetstream.KeyValueConfig { return l.bucket(ControlConfig()) }
func (l Layout) PolledConfig() jetstream.KeyValueConfig  { return l.bucket(PolledConfig()) }

// RoutedConfig is the bucket of the terminals that the hub's router routes.
func (l Layout) RoutedConfig() jetstream.KeyValueConfig {
	return l.bucket(jetstream.KeyValueConfig{Bucket: Routed, Description: "Terminals that are routed at the hub (Vestnik)", History: 1,
		Storage: jetstream.FileStorage, MaxBytes: 64 << 20})
}

func (l Layout) bucket(cfg jetstream.KeyValueConfig) jetstream.KeyValueConfig {
	if l.Hub {
		cfg.Replicas = l.replicas()
	}
	return cfg
}

func (l Layout) replicas() int { return max(l.Replicas, 1) }

// EnsureBucket makes a bucket, or raises its replicas if it was made with fewer.
func EnsureBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	s, err := js.Stream(ctx, "KV_"+want.Bucket)
	if err == nil && s.CachedInfo().Config.Replicas < want.Replicas {
		cfg := s.CachedInfo().Config
		cfg.Replicas = want.Replicas
		_, err = js.UpdateStream(ctx, cfg)
	}
	var kv jetstream.KeyValue
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		kv, err = js.CreateKeyValue(ctx, want)
	case err == nil:
		kv, err = js.KeyValue(ctx, want.Bucket)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", want.Bucket, err)
	}
	return kv, nil
}

// At reads one message by number from a server that has all there is: nil = it is not
// there (any more).
func At(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) (m jetstream.Msg, err error) {
	err = Scan(ctx, js, stream, From{Seq: seq, Ahead: 1}, func(got jetstream.Msg) error {
		if Seq(got) == seq {
			m = got
		}
		return ErrEnough
	})
	return m, err
}
