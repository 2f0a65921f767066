package app

import (
	"testing"
	"time"

	"vestnik/streams"
)

// A router says of an EVT that was not made for it, that events may go before they are routed.
func TestMakesRoom(t *testing.T) {
	t.Parallel()
	hub := streams.Layout{Hub: true}
	for _, c := range []struct {
		place  streams.Layout
		o      streams.HubOptions
		warned bool
	}{
		{hub, streams.HubOptions{}, true},
		{hub, streams.HubOptions{KeepAge: time.Hour}, true},
		{hub, streams.HubOptions{Route: true, KeepAge: time.Hour}, false},
		{streams.Layout{}, streams.HubOptions{}, false},
	} {
		if text := makesRoom(c.place, streams.EvtConfig(c.o)); (text != "") != c.warned {
			t.Errorf("%+v: %q", c, text)
		}
	}
}
