package app

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/health"
	"vestnik/internal/sink"
)

var (
	sinkRequests  = health.Counter("sink_requests_total", "Requests to the monitoring system: attempts.", "sink")
	sinkDelivered = health.Counter("sink_delivered_total", "Events that the monitoring system has confirmed.", "sink")
	sinkRejected  = health.Counter("sink_rejected_total", "Requests that the monitoring system refused for the event's sake.", "sink")
	sinkFailed    = health.Counter("sink_failed_total", "Requests that failed for the monitoring system's own reasons.", "sink")
	sinkExpired   = health.Counter("sink_expired_total", "Events whose ttl was over before they could be delivered.", "sink")
	sinkWaiting   = health.Gauge("sink_waiting_events", "Events of the lane in the sink's memory, in flight included; ROUTE may hold more.", "sink", "lane")
	sinkAside     = health.Gauge("sink_aside_events", "Events set aside now.", "sink")
	sinkInFlight  = health.Gauge("sink_requests_in_flight", "Requests to the monitoring system now.", "sink")
	sinkPaused    = health.Gauge("sink_paused", "Whether deliveries are paused.", "sink")
	sinkOutage    = health.Gauge("sink_outage", "Whether the monitoring system is out.", "sink")
	sinkOutFrom   = health.Gauge("sink_outage_start_time_seconds", "When the outage began, in seconds since 1970; absent = none.", "sink")
	sinkRecording = health.Gauge("sink_record_failing", "Whether outcomes cannot be recorded in DONE: delivery waits.", "sink")
)

// requests are the times of a sink's requests, by result.
type requests struct{ delivered, rejected, failed *health.Histogram }

func newRequests(name string) requests {
	h := func(result string) *health.Histogram {
		return health.NewHistogram(SinkProgram(name), "sink_request_seconds", "Time of a request to the monitoring system, by result: delivered, rejected or failed.",
			[]float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}, "sink", name, "result", result)
	}
	return requests{h("delivered"), h("rejected"), h("failed")}
}

func (r requests) observe(took time.Duration, err error) {
	switch {
	case err == nil:
		r.delivered.Took(took)
	case sink.IsRejected(err):
		r.rejected.Took(took)
	default:
		r.failed.Took(took)
	}
}

// sinkHealth: a monitoring system that is out is told and no fault of the sink: it
// does its job when it probes.
func sinkHealth(nc *nats.Conn, name string, r *sink.Runner, times requests) health.Part {
	told := func(name string, judge func(sink.Stats) (string, bool)) health.Check {
		return check(name, health.Told, func() (string, bool) { return judge(r.Stats()) })
	}
	return health.Part{Name: SinkProgram(name), Metrics: func(s *health.Scrape) { sinkMetrics(s, name, r.Stats(), times) }, Checks: []health.Check{
		connected(nc),
		check("delivering", health.Ready, func() (string, bool) {
			switch st := r.Stats(); {
			case st.Turn.IsZero():
				return "has not begun: reads DONE, or another process of this sink is at work", false
			case st.Record != "":
				return "outcomes cannot be recorded in DONE: " + st.Record, false
			}
			return "at work", true
		}),
		alive(func() time.Time { return r.Stats().Turn }),
		told("monitoring system", func(st sink.Stats) (string, bool) {
			switch {
			case st.NoAddress:
				return "no RemoteMonitoringUrl: events gather in the queue", false
			case st.Outage != nil:
				return fmt.Sprintf("out since %s: %s", st.Outage.Since.UTC().Format(time.RFC3339), st.Outage.Error), false
			}
			return "no outage", true
		}),
		told("pause", func(st sink.Stats) (string, bool) {
			if st.Paused {
				return "deliveries are paused", false
			}
			return "none", true
		}),
	}}
}

func sinkMetrics(s *health.Scrape, name string, st sink.Stats, times requests) {
	s.Put(sinkRequests, float64(st.Requests), name)
	s.Put(sinkDelivered, float64(st.Delivered), name)
	s.Put(sinkRejected, float64(st.Rejected), name)
	s.Put(sinkFailed, float64(st.Failed), name)
	s.Put(sinkExpired, float64(st.Expired), name)
	for lane, n := range st.Lanes {
		s.Put(sinkWaiting, float64(n), name, lane)
	}
	s.Put(sinkAside, float64(st.Aside), name)
	s.Put(sinkInFlight, float64(st.InFlight), name)
	s.Flag(sinkPaused, st.Paused, name)
	s.Flag(sinkOutage, st.Outage != nil, name)
	if st.Outage != nil {
		s.Time(sinkOutFrom, st.Outage.Since, name)
	}
	s.Flag(sinkRecording, st.Record != "", name)
	if st.Known {
		s.Put(oldestUndelivered, ageOf(st.Oldest), name)
		s.Put(oldestQueued, ageOf(st.Queued), name)
	}
	s.Histogram(times.delivered)
	s.Histogram(times.rejected)
	s.Histogram(times.failed)
}
