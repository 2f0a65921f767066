package app

import (
	"context"
	"errors"
	"time"

	"vestnik/internal/control"
	"vestnik/internal/gate"
)

// gate closes intake while the store is full of undelivered events (SPEC 4).
func (e *edge) gate(ctx context.Context) error {
	return gate.New(e.js, gate.Options{Fanout: len(e.cfg.SinkNames()), Trouble: e.trouble, Set: e.server.SetFull, Log: e.log}).Run(ctx)
}

// full is why intake is closed, "" if it is not.
func (e *edge) full() string {
	if why := e.server.Full(); why != nil {
		return why.Detail
	}
	return ""
}

// trouble asks a sink's program what keeps it from delivering.
func (e *edge) trouble(ctx context.Context, sink string) string {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var s SinkStatus
	switch err := control.Call(ctx, e.nc, SinkProgram(sink), control.Status, &s); {
	case errors.Is(err, control.ErrNotRunning):
		return "its program is not running"
	case err != nil:
		return "its program does not answer"
	case s.Sink.NoAddress:
		return "RemoteMonitoringUrl is not set"
	case s.Sink.Paused:
		return "paused"
	case s.Sink.Outage != nil:
		return s.Sink.Outage.Error
	}
	return ""
}
