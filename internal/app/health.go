package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/config"
	"vestnik/internal/health"
	"vestnik/streams"
)

// serveHealth opens a program's health port, if the configuration has one: nil
// means that nobody looks. parts are what the program is made of. It is the first
// to be there and the last to go.
func serveHealth(ctx context.Context, cfg *config.Config, log zerolog.Logger, program string, parts ...string) (*health.Board, func()) {
	listen := cfg.HealthListen(program)
	if listen == "" {
		return nil, func() {}
	}
	b := health.NewBoard(log, parts...)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Serve(ctx, listen)
	}()
	self := selfHealth(program, cfg)
	leave := b.Join(self)
	return b, func() { leave(); cancel(); <-done }
}

// hostedParts are the edge and what it hosts.
func hostedParts(cfg *config.Config) []string {
	list := []string{"edge"}
	if cfg.Hosts("router") {
		list = append(list, "router")
	}
	for _, s := range cfg.SinkNames() {
		if cfg.Hosts(s) {
			list = append(list, SinkProgram(s))
		}
	}
	return list
}

var (
	buildInfo   = health.Gauge("build_info", "1; the labels tell the program and its version.", "program", "version")
	configInfo  = health.Gauge("config_info", "1; the label is the digest of the configuration that the program began with.", "digest")
	startedTime = health.Gauge("start_time_seconds", "When the program began, in seconds since 1970.")
)

// selfHealth is what a process tells whatever becomes of its parts.
func selfHealth(name string, cfg *config.Config) health.Part {
	self := program(name, cfg)
	return health.Part{Name: "process", Metrics: func(s *health.Scrape) {
		s.Put(buildInfo, 1, self.Program, self.Version)
		s.Put(configInfo, 1, self.Config)
		s.Time(startedTime, self.Started)
	}}
}

// stuckAfter is after how much silence of its loop a part counts as stuck: much more
// than any single step may take.
const stuckAfter = time.Minute

// alive judges a loop by its last turn; one that does not run now is not stuck.
func alive(turn func() time.Time) health.Check {
	return health.Check{Name: "loop", Level: health.Alive, Run: func(context.Context) (string, bool) {
		at := turn()
		if silent := time.Since(at); !at.IsZero() && silent > stuckAfter {
			return fmt.Sprintf("no turn for %s", silent.Round(time.Second)), false
		}
		return "turns", true
	}}
}

// check makes a check of what does not fail to tell how it is.
func check(name string, level health.Level, run func() (string, bool)) health.Check {
	return health.Check{Name: name, Level: level, Run: func(context.Context) (string, bool) { return run() }}
}

func connected(nc *nats.Conn) health.Check {
	return check("broker", health.Ready, func() (string, bool) {
		return "connection to NATS: " + nc.Status().String(), nc.IsConnected()
	})
}

// ageOf is how long ago something was received; what is owed is never 0 seconds old,
// whatever the clock says: 0 means that nothing is owed.
func ageOf(at *time.Time) float64 {
	if at == nil || at.IsZero() {
		return 0
	}
	return max(time.Since(*at).Seconds(), 0.001)
}

var (
	streamMessages = health.Gauge("stream_messages", "Messages in the stream.", "stream")
	streamBytes    = health.Gauge("stream_bytes", "Bytes that the stream takes.", "stream")
	streamMaxBytes = health.Gauge("stream_max_bytes", "Bytes that the stream may take.", "stream")
	unroutedCount  = health.Gauge("unrouted_messages", "Messages of EVENTS, one or more events each, that the router has not read yet.")
	unroutedAge    = health.Gauge("oldest_unrouted_age_seconds", "Age of the oldest message of EVENTS that the router has not read yet; 0 = none.")
)

// putStreams tells how full streams are; of those that do not answer, nothing.
func putStreams(s *health.Scrape, js jetstream.JetStream, names ...string) {
	for _, name := range names {
		stream, err := js.Stream(s.Context, name)
		if err != nil {
			continue
		}
		info := stream.CachedInfo()
		s.Put(streamMessages, float64(info.State.Msgs), name)
		s.Put(streamBytes, float64(info.State.Bytes), name)
		s.Put(streamMaxBytes, float64(info.Config.MaxBytes), name)
	}
}

func putUnrouted(s *health.Scrape, js jetstream.JetStream, place streams.Layout) {
	n, oldest, err := unrouted(s.Context, js, place)
	if err != nil {
		return
	}
	s.Put(unroutedCount, float64(n))
	s.Put(unroutedAge, ageOf(&oldest))
}

// unrouted is how many messages of EVENTS lie behind the router's position, as ROUTE
// has it, and when the oldest of them was stored.
func unrouted(ctx context.Context, js jetstream.JetStream, place streams.Layout) (uint64, time.Time, error) {
	pos, err := routed(ctx, js)
	if err != nil {
		return 0, time.Time{}, err
	}
	events, err := js.Stream(ctx, place.Input())
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("look up %s: %w", place.Input(), err)
	}
	info := events.CachedInfo()
	next := max(pos.Resume(place.Incarnations(info)).Seq+1, info.State.FirstSeq)
	if info.State.Msgs == 0 || next > info.State.LastSeq {
		return 0, time.Time{}, nil
	}
	m, err := events.GetMsg(ctx, next)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("read message %d of %s: %w", next, place.Input(), err)
	}
	return info.State.LastSeq - next + 1, m.Time, nil
}
