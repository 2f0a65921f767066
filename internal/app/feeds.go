package app

import (
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/router"
	"vestnik/streams"
)

// feeds are the short cuts between parts that one edge hosts: what a part writes
// is handed to the next in memory, too. Without them each reads the streams.
type feeds struct {
	events *streams.Feed[[]*event.Event]
	queues map[router.Queue]*streams.Feed[event.Queued]
}

func newFeeds(cfg *config.Config) feeds {
	var f feeds
	if !cfg.Hosts("router") {
		return f
	}
	f.events = streams.NewFeed[[]*event.Event]()
	f.queues = map[router.Queue]*streams.Feed[event.Queued]{}
	for _, sink := range cfg.SinkNames() {
		if !cfg.Hosts(sink) {
			continue
		}
		for _, lane := range streams.Lanes {
			f.queues[router.Queue{Sink: sink, Lane: lane}] = streams.NewFeed[event.Queued]()
		}
	}
	return f
}

// doubt sends the router back to EVENTS once: the journal is another one.
func (f feeds) doubt() {
	if f.events != nil {
		f.events.Doubt()
	}
}

// committed hands the journal's commits to the router; nil if it is elsewhere.
func (f feeds) committed() func(uint64, []*event.Event) {
	if f.events == nil {
		return nil
	}
	return func(seq uint64, events []*event.Event) {
		if seq == 0 { // the outcome of a commit is not known
			f.events.Doubt()
			return
		}
		size := 0
		for _, e := range events {
			size += len(e.Raw)
		}
		f.events.Put(streams.Part[[]*event.Event]{Prev: seq - 1, Seq: seq, Size: size, Value: events})
	}
}

// lanes are a sink's feeds by lane, nil if the sink or the router is elsewhere.
func (f feeds) lanes(sink string) map[string]*streams.Feed[event.Queued] {
	var lanes map[string]*streams.Feed[event.Queued]
	for q, feed := range f.queues {
		if q.Sink == sink {
			if lanes == nil {
				lanes = map[string]*streams.Feed[event.Queued]{}
			}
			lanes[q.Lane] = feed
		}
	}
	return lanes
}
