package app

import (
	"context"
	"errors"
	"time"

	"vestnik/internal/control"
	"vestnik/internal/gate"
)

// gate closes intake while the store is full of undelivered events (SPEC 4).
// Where the terminal is routed at the hub nothing is owed here: what ROUTE may hold of the
// time before says nothing of now.
func (s *store) gate(ctx context.Context) error {
	if s.cfg.RoutedAtHub() {
		<-ctx.Done()
		return nil
	}
	return gate.New(s.js, gate.Options{Fanout: len(s.cfg.SinkNames()), Trouble: s.trouble, Set: s.server.SetFull,
		Closed: s.server.Full() != nil, Log: s.log}).Run(ctx)
}

// full is why intake is closed, "" if it is not.
func (s *store) full() string {
	if why := s.server.Full(); why != nil {
		return why.Detail
	}
	return ""
}

// trouble asks a sink's program what keeps it from delivering.
func (s *store) trouble(ctx context.Context, sink string) string {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var st SinkStatus
	switch err := control.Call(ctx, s.nc, SinkProgram(sink), control.Status, &st); {
	case errors.Is(err, control.ErrNotRunning):
		return "its program is not running"
	case err != nil:
		return "its program does not answer"
	case st.Sink.NoAddress:
		return "RemoteMonitoringUrl is not set"
	case st.Sink.Paused:
		return "paused"
	case st.Sink.Outage != nil:
		return st.Sink.Outage.Error
	}
	return ""
}
