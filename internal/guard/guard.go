// Package guard makes consumers and streams for programs that may not do so
// themselves. The right to make a consumer is the right to have messages published to
// any subject, and that to change a stream to have it write anywhere: no allow list of
// subjects helps, for both stand in the request's body. So the broker's accounts hand
// such requests to the guard (deploy/tls/nats.conf), which runs beside the broker in
// the edge: it passes on a consumer that is read by pull requests and nothing else, and
// of a stream only its limit.
package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/streams"
)

// api is where the broker takes what the guard has passed.
const api = "$JS.API."

// answers is the subject of an answer to another account, which the broker made. Other
// answers are not written: who asks would choose where to.
const answers = "_R_."

// idle is how long a consumer may stay unused at most.
const idle = 5 * time.Minute

// Guard passes requests on. Make it with Open.
type Guard struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	log      zerolog.Logger
	requests chan *nats.Msg
}

// Open takes requests from now on; they wait for Run.
func Open(nc *nats.Conn, js jetstream.JetStream, log zerolog.Logger) (*Guard, error) {
	g := &Guard{nc: nc, js: js, log: log, requests: make(chan *nats.Msg, 1024)}
	if _, err := nc.ChanSubscribe(streams.Guard+">", g.requests); err != nil { // until nc closes
		return nil, fmt.Errorf("guard of JetStream: %w", err)
	}
	return g, nil
}

// Run passes requests on until ctx ends. It returns nil.
func (g *Guard) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range passing {
		wg.Go(func() { g.work(ctx) })
	}
	wg.Wait()
	return nil
}

// passing is how many requests are passed on at once, timeout how long one may take.
const (
	passing = 8
	timeout = 5 * time.Second
)

func (g *Guard) work(ctx context.Context) {
	for {
		select {
		case m := <-g.requests:
			g.pass(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

func (g *Guard) pass(ctx context.Context, m *nats.Msg) {
	subject := strings.TrimPrefix(m.Subject, streams.Guard)
	if !strings.HasPrefix(m.Reply, answers) {
		g.log.Warn().Str("request", subject).Msg("request without an answer's subject of the broker dropped")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if subject == streams.Whole {
		g.whole(ctx, m)
		return
	}
	data, err := g.judge(ctx, strings.Split(subject, "."), m.Data)
	if err != nil {
		g.log.Warn().Err(err).Str("request", subject).Msg("request to JetStream refused")
		_ = g.nc.Publish(m.Reply, refusal(err)) // an error: the broker is gone
		return
	}
	answer, err := g.nc.RequestWithContext(ctx, api+subject, data)
	if err != nil {
		g.log.Warn().Err(err).Str("request", subject).Msg("JetStream does not answer")
		return
	}
	_ = g.nc.Publish(m.Reply, answer.Data)
}

// whole answers whether ROUTE is; without an answer who asks tries again.
func (g *Guard) whole(ctx context.Context, m *nats.Msg) {
	hole, err := streams.Hole(ctx, g.js)
	if err != nil {
		g.log.Warn().Err(err).Msg("not known whether ROUTE is whole")
		return
	}
	data, _ := json.Marshal(streams.Wholeness{Hole: hole}) // a number
	_ = g.nc.Publish(m.Reply, data)
}

// judge returns the request that is passed on.
func (g *Guard) judge(ctx context.Context, subject []string, data []byte) ([]byte, error) {
	switch {
	case len(subject) >= 4 && subject[0] == "CONSUMER" && subject[1] == "CREATE":
		return consumer(subject[2], subject[3], strings.Join(subject[4:], "."), data)
	case len(subject) == 3 && subject[0] == "STREAM" && subject[1] == "CREATE":
		return stream(subject[2], data)
	case len(subject) == 3 && subject[0] == "STREAM" && subject[1] == "UPDATE":
		return g.limit(ctx, subject[2], data)
	}
	return nil, errors.New("not a request that the guard passes on")
}

type consumerRequest struct {
	Stream string                   `json:"stream_name"`
	Config jetstream.ConsumerConfig `json:"config"`
	Action string                   `json:"action"`
}

// consumer passes what Follow and Scan make: read by pull requests, without acks,
// forgotten when unused. The broker compares filter and subject, too.
func consumer(name, id, filter string, data []byte) ([]byte, error) {
	var r consumerRequest
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", name, err)
	}
	c := &r.Config
	switch {
	case r.Stream != name || c.Name != "" && c.Name != id:
		return nil, fmt.Errorf("consumer of %s: names another stream or consumer", name)
	case c.DeliverSubject != "" || c.DeliverGroup != "":
		return nil, fmt.Errorf("consumer of %s: has a subject to deliver to", name)
	case c.Durable != "" || c.AckPolicy != jetstream.AckNonePolicy || !c.MemoryStorage:
		return nil, fmt.Errorf("consumer of %s: only one without acks, in memory", name)
	case filter != "" && (c.FilterSubject != filter || len(c.FilterSubjects) > 0):
		return nil, fmt.Errorf("consumer of %s: filter and request differ", name)
	case filter == "" && c.FilterSubject != "":
		return nil, fmt.Errorf("consumer of %s: its filter belongs into the request's subject", name)
	}
	pass := jetstream.ConsumerConfig{Name: id, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: c.DeliverPolicy, OptStartSeq: c.OptStartSeq, OptStartTime: c.OptStartTime, HeadersOnly: c.HeadersOnly,
		FilterSubject: c.FilterSubject, FilterSubjects: c.FilterSubjects, InactiveThreshold: idle}
	if c.InactiveThreshold > 0 && c.InactiveThreshold < idle {
		pass.InactiveThreshold = c.InactiveThreshold
	}
	return json.Marshal(consumerRequest{name, pass, "create"})
}

// stream passes one of ours, of which the request says only the limit.
func stream(name string, data []byte) ([]byte, error) {
	var asked jetstream.StreamConfig
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	if asked.MaxBytes <= 0 {
		return nil, fmt.Errorf("stream %s: without a limit", name)
	}
	switch name {
	case streams.Route:
		return json.Marshal(streams.RouteConfig(asked.MaxBytes))
	case streams.Done:
		return json.Marshal(streams.DoneConfig(asked.MaxBytes))
	}
	return nil, fmt.Errorf("stream %s is not for others to make", name)
}

// limit passes a new limit of a stream that is there.
func (g *Guard) limit(ctx context.Context, name string, data []byte) ([]byte, error) {
	if name != streams.Route && name != streams.Done {
		return nil, fmt.Errorf("stream %s is not for others to change", name)
	}
	var asked jetstream.StreamConfig
	if err := json.Unmarshal(data, &asked); err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	s, err := g.js.Stream(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", name, err)
	}
	cfg := s.CachedInfo().Config
	if name == streams.Route { // the router's answer to a renewal stands there
		cfg.Metadata = asked.Metadata
	}
	if cfg.MaxBytes = asked.MaxBytes; cfg.MaxBytes <= 0 {
		return nil, fmt.Errorf("stream %s: without a limit", name)
	}
	return json.Marshal(cfg)
}

// refusal is an answer as JetStream gives it.
func refusal(err error) []byte {
	data, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 403, "description": err.Error()}}) // strings and a number
	return data
}
