package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/health"
	"vestnik/internal/keeper"
	"vestnik/internal/router"
	"vestnik/streams"
)

var (
	oldestUndelivered = health.Gauge("oldest_undelivered_age_seconds",
		"Age, since receipt, of the oldest event that the sink owes, set aside or not; 0 = none. Parts router and sink-… tell it of the same queue.", "sink")
	oldestQueued = health.Gauge("oldest_queued_age_seconds",
		"Age, since receipt, of the oldest event in the sink's queue, those set aside not included; 0 = none.", "sink")

	routerRouted     = health.Counter("router_routed_total", "Events put into a sink's queue, released ones included.")
	routerHeld       = health.Counter("router_held_total", "Events taken into a group.")
	routerReleased   = health.Counter("router_released_total", "Events let go by a group.")
	routerReleases   = health.Counter("router_releases_total", "Groups let go, by reason: count or timeout.", "reason")
	routerSuppressed = health.Counter("router_suppressed_total", "Events that a rule never delivers.")
	routerHolding    = health.Gauge("router_held_events", "Events in groups now.")
	routerGroups     = health.Gauge("router_groups", "Groups that hold something now.")
	routerStopped    = health.Gauge("router_stopped", "Whether the router does not read on because ROUTE is nearly full.")
	rulesInfo        = health.Gauge("rules_info", "1; the label is the digest of the rules in force.", "digest")
	rulesTime        = health.Gauge("rules_loaded_time_seconds", "When the rules came in force in this process, in seconds since 1970.")
	rulesErrors      = health.Counter("rules_errors_total", "Reloads refused for what the rules file says.")
	rulesBroken      = health.Gauge("rules_refused", "Whether the rules file as it is was refused, older rules being in force.")
	keeperRounds     = health.Counter("keeper_rounds_total", "Rounds of the keeper.")
	keeperRound      = health.Gauge("keeper_last_round_time_seconds", "When the keeper ended its last round, in seconds since 1970; absent = not yet.")
	keeperFailing    = health.Gauge("keeper_failing", "Whether the keeper's last round failed.")
	keeperRemoved    = health.Counter("keeper_removed_total", "Messages removed: from the sinks' queues, of released groups, from EVENTS, from DONE.", "from")
	keeperDiscarded  = health.Counter("keeper_discarded_total", "Events given up because the store was full.")
)

// lagLimit is for how long an event may wait for the router before it does not do
// its job.
const lagLimit = 30 * time.Second

func routerHealth(nc *nats.Conn, js jetstream.JetStream, place streams.Layout, r *router.Router, k *keeper.Keeper) health.Part {
	lag := func(ctx context.Context) (string, bool) {
		n, oldest, err := unrouted(ctx, js, place)
		if err != nil {
			return err.Error(), false
		}
		age := time.Since(oldest)
		return fmt.Sprintf("%d messages of %s not routed", n, place.Input()), n == 0 || age < lagLimit
	}
	return health.Part{Name: "router", Metrics: func(s *health.Scrape) { routerMetrics(s, js, place, r, k) }, Checks: []health.Check{
		connected(nc),
		check("routing", health.Ready, func() (string, bool) {
			st := r.Stats()
			switch {
			case st.Turn.IsZero():
				return "has not begun, or begins again from ROUTE", false
			case st.Stopped != "":
				return st.Stopped, false
			}
			return "at " + st.Position, true
		}),
		{Name: "lag", Level: health.Ready, Run: lag},
		alive(func() time.Time { return r.Stats().Turn }),
		check("rules", health.Told, func() (string, bool) {
			if st := r.Stats(); st.RulesBroken {
				return "the rules file was refused, older rules are in force: " + st.Rules, false
			}
			return r.Stats().Rules, true
		}),
		check("keeper", health.Told, func() (string, bool) { return k.Stats().Error, k.Stats().Error == "" }),
	}}
}

func routerMetrics(s *health.Scrape, js jetstream.JetStream, place streams.Layout, r *router.Router, k *keeper.Keeper) {
	st := r.Stats()
	s.Put(routerRouted, float64(st.Routed))
	s.Put(routerHeld, float64(st.Held))
	s.Put(routerReleased, float64(st.Released))
	s.Put(routerReleases, float64(st.ByCount), "count")
	s.Put(routerReleases, float64(st.ByTimeout), "timeout")
	s.Put(routerSuppressed, float64(st.Suppressed))
	s.Put(routerHolding, float64(st.Holding))
	s.Put(routerGroups, float64(st.Groups))
	s.Flag(routerStopped, st.Stopped != "")
	s.Put(rulesInfo, 1, st.Rules)
	s.Time(rulesTime, st.RulesAt)
	s.Put(rulesErrors, float64(st.RulesRefused))
	s.Flag(rulesBroken, st.RulesBroken)
	keeperMetrics(s, k.Stats())
	for name, o := range k.Owed() {
		if oldest := o.Oldest(); time.Since(o.Looked) < lagLimit || !oldest.IsZero() { // an old "nothing" is no answer
			s.Put(oldestUndelivered, ageOf(&oldest), name)
			s.Put(oldestQueued, ageOf(&o.Queued), name)
		}
	}
	putStreams(s, js, streams.Route, streams.Done)
	if place.Hub {
		putStreams(s, js, place.Input())
	}
	putUnrouted(s, js, place)
}

func keeperMetrics(s *health.Scrape, st keeper.Stats) {
	s.Put(keeperRounds, float64(st.Rounds))
	s.Time(keeperRound, st.Last)
	s.Flag(keeperFailing, st.Error != "")
	s.Put(keeperRemoved, float64(st.Queue), "queue")
	s.Put(keeperRemoved, float64(st.Held), "held")
	s.Put(keeperRemoved, float64(st.Events), "events")
	s.Put(keeperRemoved, float64(st.Done), "done")
	s.Put(keeperDiscarded, float64(st.Discarded))
}
