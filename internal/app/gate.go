package app

import (
	"context"

	"vestnik/internal/gate"
)

// gate closes intake while the store is full of undelivered events (SPEC 4).
func (e *edge) gate(ctx context.Context) error {
	return gate.New(e.js, gate.Options{Fanout: len(e.cfg.SinkNames()), Set: e.server.SetFull, Log: e.log}).Run(ctx)
}

// full is why intake is closed, "" if it is not.
func (e *edge) full() string {
	if why := e.server.Full(); why != nil {
		return why.Detail
	}
	return ""
}
