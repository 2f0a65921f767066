package app

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/health"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// edgeMeters observe what happens often; nil meters, where nobody looks.
type edgeMeters struct {
	took, commits, together *health.Histogram
	answered                func(time.Duration)
	commit                  func(int, time.Duration)
}

func newEdgeMeters(b *health.Board) edgeMeters {
	if b == nil {
		return edgeMeters{}
	}
	m := edgeMeters{
		took: health.NewHistogram("edge", "intake_answer_seconds", "Time from the last byte of a frame to its answer.",
			[]float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}),
		commits: health.NewHistogram("edge", "journal_commit_seconds", "Time that EVENTS took for a commit: one message, synced.",
			[]float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 4}),
		together: health.NewHistogram("edge", "journal_commit_events", "Events that one commit put on the disk.",
			[]float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000}),
	}
	m.answered = m.took.Took
	m.commit = func(events int, took time.Duration) {
		m.commits.Took(took)
		m.together.Observe(float64(events))
	}
	return m
}

var (
	intakeAnswers   = health.Counter("intake_answers_total", "Answers to the terminal by code; code 0 = events taken.", "code")
	intakeFrames    = health.Counter("intake_frames_total", "Whole frames of a known signature and a good size.")
	intakeCommands  = health.Counter("intake_commands_total", "Frames that held commands.")
	commandsDone    = health.Counter("commands_total", "Commands answered, by way in and by the first code of the answer that is not 0.", "way", "code")
	commandsOff     = health.Gauge("commands_refused", "Whether no command is executed now: paused, or another edge has this terminal's number.")
	intakeOpen      = health.Gauge("intake_connections", "Connections of terminals now.")
	intakeAccepted  = health.Counter("intake_connections_total", "Connections of terminals taken.")
	intakeDisplaced = health.Counter("intake_connections_displaced_total", "Connections closed because the limit was reached and others came.")
	intakeRefused   = health.Counter("intake_connections_refused_total", "Connections closed for their source address.")
	intakePaused    = health.Gauge("intake_paused", "Whether events are answered with code 7 (pause --intake).")
	intakeLast      = health.Gauge("intake_last_event_time_seconds", "When the last event was taken, in seconds since 1970; absent = none known.")
	intakeHeartbeat = health.Gauge("intake_last_heartbeat_time_seconds", "When the last event with an empty message was taken, in seconds since 1970; absent = none known.")
	journalWaiting  = health.Gauge("journal_waiting_events", "Events that wait for the disk.")
	journalFailed   = health.Counter("journal_commits_failed_total", "Commits that EVENTS did not take: their events were answered with code 6.")
	journalFailing  = health.Gauge("journal_failing", "Whether the last commit failed.")
	storeFrozen     = health.Gauge("store_frozen", "Whether the disk has failed the store, which is opened again when it can be written.")
	storeRestarts   = health.Counter("store_restarts_total", "How often the store was opened again in this process.")
	lossFound       = health.Gauge("loss_found", "Whether events in EVENTS were found lost, in the last 30 days.")
)

// health is the edge as others see it.
func (s *store) health() health.Part {
	return health.Part{Name: "edge", Metrics: s.metrics, Checks: append([]health.Check{
		connected(s.nc),
		check("intake", health.Ready, func() (string, bool) {
			if s.server.Paused() {
				return "paused: events are answered with code 7", false
			}
			if why := s.full(); why != "" {
				return "events are answered with code 6: " + why, false
			}
			return "takes events", true
		}),
		check("journal", health.Ready, s.journalCheck),
		check("store", health.Ready, s.storeCheck),
		alive(func() time.Time { return s.journal.Stats().Busy }),
		check("loss", health.Told, s.damageCheck),
		check("commands", health.Told, func() (string, bool) {
			if err := s.commands.refuse(); err != nil {
				return err.Error(), false
			}
			return "are executed", true
		}),
	}, append(s.forwardChecks(), s.aloneChecks()...)...)}
}

func (s *store) damageCheck() (string, bool) {
	list := s.damage.known()
	if len(list) == 0 {
		return "none", true
	}
	return damageText(list[len(list)-1]), false
}

func (s *store) storeCheck() (string, bool) {
	if since, reason := s.disk.Frozen(); !since.IsZero() {
		return fmt.Sprintf("frozen since %s: %s", since.UTC().Format(time.RFC3339), reason), false
	}
	return "takes writes", true
}

func (s *store) journalCheck() (string, bool) {
	if st := s.journal.Stats(); st.Error != "" {
		return fmt.Sprintf("no commit since %s: %s", st.Since.UTC().Format(time.RFC3339), st.Error), false
	}
	return "commits", true
}

func (s *store) metrics(c *health.Scrape) {
	t, j := s.server.Stats(), s.journal.Stats()
	for code, n := range t.Answered {
		c.Put(intakeAnswers, float64(n), strconv.Itoa(int(code)))
	}
	if t.Answered[0] == 0 {
		c.Put(intakeAnswers, 0, "0") // so that a rate of it begins with the first event
	}
	c.Put(intakeFrames, float64(t.Frames))
	c.Put(intakeCommands, float64(t.Commands))
	s.commands.count.each(func(way string, code code.Code, n int64) {
		c.Put(commandsDone, float64(n), way, strconv.Itoa(int(code)))
	})
	c.Flag(commandsOff, s.commands.refuse() != nil)
	c.Put(intakeOpen, float64(t.Connections))
	c.Put(intakeAccepted, float64(t.Accepted))
	c.Put(intakeDisplaced, float64(t.Displaced))
	c.Put(intakeRefused, float64(t.Refused))
	c.Flag(intakePaused, s.server.Paused())
	c.Time(intakeLast, t.LastEvent)
	c.Time(intakeHeartbeat, t.LastHeartbeat)
	c.Put(journalWaiting, float64(j.Waiting))
	c.Put(journalFailed, float64(j.Failed))
	c.Flag(journalFailing, j.Error != "")
	c.Flag(lossFound, slices.ContainsFunc(s.damage.known(), func(d scrub.Damage) bool { return d.Stream == streams.Events && d.Lost > 0 }))
	since, _ := s.disk.Frozen()
	c.Flag(storeFrozen, !since.IsZero())
	c.Put(storeRestarts, float64(s.disk.Restarts()))
	c.Histogram(s.meters.took)
	c.Histogram(s.meters.commits)
	c.Histogram(s.meters.together)
	putStreams(c, s.js, streams.Events)
	if !s.cfg.RoutedAtHub() { // else nobody routes here, and nothing waits for it
		putUnrouted(c, s.js, streams.Layout{})
	}
	s.forwardMetrics(c)
}
