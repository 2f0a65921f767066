package app

import (
	"context"
	"fmt"
	"time"

	"vestnik/internal/control"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// EdgeStatus is the edge's answer to status.
type EdgeStatus struct {
	Program
	ATM      string         `json:"atm"`
	Terminal TerminalStatus `json:"terminal"`
	Commands CommandsStatus `json:"commands"`
	Events   StreamStatus   `json:"events"`
	Forward  *ForwardStatus `json:"forward,omitempty"` // nil = there is no hub
	Damage   []scrub.Damage `json:"damage,omitempty"`
	Frozen   *Frozen        `json:"frozen,omitempty"`         // nil = the store takes writes
	Restarts int            `json:"store_restarts,omitempty"` // of the store in this process
}

// Frozen says since when and why the store takes no writes.
type Frozen struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// CommandsStatus is what became of commands to the terminal.
type CommandsStatus struct {
	// Answered counts commands since the start, by the first code of the answer that is not 0.
	Answered map[int]int64 `json:"answered"`
	Refused  string        `json:"refused,omitempty"` // why none is executed now
}

// TerminalStatus is the state of the terminal port.
type TerminalStatus struct {
	Listen        string        `json:"listen"`
	Answered      map[int]int64 `json:"answered"` // by code, since the start
	Connections   int           `json:"connections"`
	Paused        bool          `json:"paused,omitempty"`
	Full          string        `json:"full,omitempty"` // why intake answers code 6
	LastEvent     time.Time     `json:"last_event,omitzero"`
	LastHeartbeat time.Time     `json:"last_heartbeat,omitzero"`
}

// StreamStatus is the state of a stream.
type StreamStatus struct {
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	MaxBytes int64     `json:"max_bytes"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
}

func (s *store) control(ctx context.Context) error {
	return control.Serve(ctx, s.nc, control.Program{Name: s.self.Program, Version: s.self.Version, Stop: s.stop,
		Verbs: map[string]control.Handler{control.Status: s.status, control.Reload: reload(s.renewal, s.self.Program, s.cfg, nil)}})
}

func (s *store) status(ctx context.Context) (any, error) {
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return nil, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := events.CachedInfo()
	t := s.server.Stats()
	answered := map[int]int64{}
	for c, n := range t.Answered {
		if n > 0 {
			answered[int(c)] = n
		}
	}
	var frozen *Frozen
	if since, reason := s.disk.Frozen(); !since.IsZero() {
		frozen = &Frozen{since.UTC(), reason}
	}
	return EdgeStatus{Program: s.self.now(s.renewal), ATM: s.cfg.ATM, Forward: s.forwardStatus(ctx), Damage: s.damage.known(), Frozen: frozen, Restarts: s.disk.Restarts(),
		Commands: s.commands.status(),
		Terminal: TerminalStatus{s.cfg.Terminal.Listen, answered, t.Connections, s.server.Paused(), s.full(), t.LastEvent, t.LastHeartbeat},
		Events:   StreamStatus{info.State.Msgs, info.State.Bytes, info.Config.MaxBytes, info.State.FirstTime, info.State.LastTime}}, nil
}
