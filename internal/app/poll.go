package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/health"
	"vestnik/internal/poll"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// poller is a sink's polling of commands; its Poller is nil without RemoteCommandsUrl
// (SPEC 6: no commands).
type poller struct{ p *poll.Poller }

// edgeOwn is what the edge needs of an answer's time besides the application's own: its
// journal.
const edgeOwn = 10 * time.Second

func newPoller(nc *nats.Conn, name string, cfg *config.Config, at place, log zerolog.Logger) (poller, error) {
	set := cfg.Sink(name)
	if !polls(set) {
		return poller{}, nil
	}
	opts := poll.Options{URL: set.CommandsURL, CA: set.CA, Version: cli.Version(), API: at.api,
		Timeout: set.Timeout, AnswerTimeout: cfg.Terminal.ConnectTimeout + cfg.Terminal.AnswerTimeout + edgeOwn, RepeatWindow: cfg.Terminal.RepeatWindow,
		Retry: sink.Backoff{Min: set.RetryMin, Max: set.RetryMax}, Aside: sink.Backoff{Min: set.AsideMin, Max: max(set.RetryMax, set.AsideMin)}, Log: log}
	if cfg.AtHub() { // SPEC 6: one poll per terminal, at most poll_parallel at once
		js, err := streams.JetStream(nc, at.api)
		if err != nil {
			return poller{}, err
		}
		opts.Parallel = set.PollParallel
		opts.Find = func(ctx context.Context, put, drop func(string)) error { return terminals(ctx, js, put, drop) }
	} else {
		opts.Terminals = []string{cfg.ATM}
	}
	p, err := poll.New(nc, opts)
	if err != nil {
		return poller{}, fmt.Errorf("sink %s: %w", name, err)
	}
	return poller{p}, nil
}

// polls tells whether a sink's settings have commands polled.
func polls(set *config.Sink) bool { return set != nil && set.CommandsURL != "" }

func (p poller) run(ctx context.Context) error {
	if p.p == nil {
		<-ctx.Done()
		return nil
	}
	return p.p.Run(ctx)
}

func (p poller) setPaused(paused bool) {
	if p.p != nil {
		p.p.SetPaused(paused)
	}
}

func (p poller) stats() *poll.Stats {
	if p.p == nil {
		return nil
	}
	s := p.p.Stats()
	return &s
}

// preparePolling makes the journal of polled commands, for a sink that may not make it.
// Commands that cannot be polled keep no event from being taken.
func (s *store) preparePolling(ctx context.Context) {
	for _, name := range s.cfg.SinkNames() {
		if !polls(s.cfg.Sink(name)) {
			continue
		}
		if err := poll.Prepare(ctx, s.js); err != nil {
			s.log.Error().Err(err).Msg("commands cannot be polled: there is no place to journal them; is the store's limit in nats.conf high enough?")
		}
	}
}

var (
	pollPolls      = health.Counter("poll_polls_total", "Polls of RemoteCommandsUrl that ended.", "sink")
	pollFailed     = health.Counter("poll_failed_polls_total", "Polls that failed.", "sink")
	pollReceived   = health.Counter("poll_commands_total", "Commands that were polled, each once.", "sink")
	pollRequests   = health.Counter("poll_requests_total", "Requests to the edge for polled commands, repeated ones too.", "sink")
	pollAnswered   = health.Counter("poll_answered_total", "Polled commands that got a result.", "sink")
	pollPosted     = health.Counter("poll_posted_total", "Results that the monitoring system has taken.", "sink")
	pollPostFailed = health.Counter("poll_failed_posts_total", "Posts that failed for the monitoring system's own reasons.", "sink")
	pollRefused    = health.Counter("poll_refused_posts_total", "Posts that the monitoring system refused for the result's sake.", "sink")
	pollWaiting    = health.Gauge("poll_waiting_commands", "Polled commands without a result.", "sink")
	pollUnposted   = health.Gauge("poll_unposted_results", "Results that the monitoring system has not taken yet.", "sink")
	pollOutage     = health.Gauge("poll_outage", "Whether commands cannot be polled.", "sink")
	pollPostOutage = health.Gauge("poll_post_outage", "Whether results cannot be posted.", "sink")
	pollJournal    = health.Gauge("poll_record_failing", "Whether polled commands cannot be journaled: they wait.", "sink")
)

// health adds the polling of commands to its sink's part.
func (p poller) health(name string, part health.Part) health.Part {
	if p.p == nil {
		return part
	}
	metrics := part.Metrics
	part.Metrics = func(s *health.Scrape) { metrics(s); pollMetrics(s, name, p.p.Stats()) }
	part.Checks = append(part.Checks, check("commands", health.Told, func() (string, bool) { return pollTold(p.p.Stats()) }))
	return part
}

func pollTold(st poll.Stats) (string, bool) {
	since := func(o *poll.Outage) string { return o.Since.UTC().Format(time.RFC3339) + ": " + o.Error }
	switch {
	case st.Journal != "":
		return "polled commands cannot be journaled: " + st.Journal, false
	case st.PollOutage != nil:
		return "cannot be polled since " + since(st.PollOutage), false
	case st.PostOutage != nil:
		return "results cannot be posted since " + since(st.PostOutage), false
	}
	return "no outage", true
}

func pollMetrics(s *health.Scrape, name string, st poll.Stats) {
	s.Put(pollPolls, float64(st.Polls), name)
	s.Put(pollFailed, float64(st.PollsFailed), name)
	s.Put(pollReceived, float64(st.Received), name)
	s.Put(pollRequests, float64(st.Requests), name)
	s.Put(pollAnswered, float64(st.Answered), name)
	s.Put(pollPosted, float64(st.Posted), name)
	s.Put(pollPostFailed, float64(st.PostsFailed), name)
	s.Put(pollRefused, float64(st.Refused), name)
	s.Put(pollWaiting, float64(st.Waiting), name)
	s.Put(pollUnposted, float64(st.Unposted), name)
	s.Flag(pollOutage, st.PollOutage != nil, name)
	s.Flag(pollPostOutage, st.PostOutage != nil, name)
	s.Flag(pollJournal, st.Journal != "", name)
}
