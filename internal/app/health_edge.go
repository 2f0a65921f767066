package app

import (
	"fmt"
	"strconv"
	"time"

	"vestnik/internal/health"
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
	lossFound       = health.Gauge("loss_found", "Whether stored events were found lost when the edge began.")
)

// health is the edge as others see it.
func (e *edge) health() health.Part {
	return health.Part{Name: "edge", Metrics: e.metrics, Checks: []health.Check{
		connected(e.nc),
		check("intake", health.Ready, func() (string, bool) {
			if e.server.Paused() {
				return "paused: events are answered with code 7", false
			}
			return "takes events", true
		}),
		check("journal", health.Ready, e.journalCheck),
		alive(func() time.Time { return e.journal.Stats().Busy }),
		check("loss", health.Told, func() (string, bool) { return e.loss, e.loss == "" }),
	}}
}

func (e *edge) journalCheck() (string, bool) {
	if st := e.journal.Stats(); st.Error != "" {
		return fmt.Sprintf("no commit since %s: %s", st.Since.UTC().Format(time.RFC3339), st.Error), false
	}
	return "commits", true
}

func (e *edge) metrics(s *health.Scrape) {
	t, j := e.server.Stats(), e.journal.Stats()
	for c, n := range t.Answered {
		s.Put(intakeAnswers, float64(n), strconv.Itoa(int(c)))
	}
	if t.Answered[0] == 0 {
		s.Put(intakeAnswers, 0, "0") // so that a rate of it begins with the first event
	}
	s.Put(intakeFrames, float64(t.Frames))
	s.Put(intakeCommands, float64(t.Commands))
	s.Put(intakeOpen, float64(t.Connections))
	s.Put(intakeAccepted, float64(t.Accepted))
	s.Put(intakeDisplaced, float64(t.Displaced))
	s.Put(intakeRefused, float64(t.Refused))
	s.Flag(intakePaused, e.server.Paused())
	s.Time(intakeLast, t.LastEvent)
	s.Time(intakeHeartbeat, t.LastHeartbeat)
	s.Put(journalWaiting, float64(j.Waiting))
	s.Put(journalFailed, float64(j.Failed))
	s.Flag(journalFailing, j.Error != "")
	s.Flag(lossFound, e.loss != "")
	s.Histogram(e.meters.took)
	s.Histogram(e.meters.commits)
	s.Histogram(e.meters.together)
	putStreams(s, e.js, streams.Events)
	putUnrouted(s, e.js)
}
