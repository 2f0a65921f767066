package app

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

// The keeper of an edge whose terminal is routed at the hub tells when it cannot remove;
// elsewhere the router's does.
func TestAloneChecks(t *testing.T) {
	t.Parallel()
	_, js := brokertest.Start(t)
	if _, err := js.CreateStream(t.Context(), streams.EventsConfig(1<<20)); err != nil {
		t.Fatal(err)
	}
	s := &store{}
	if len(s.aloneChecks()) != 0 {
		t.Error("a check of a keeper that is not there")
	}
	s.alone = keeper.NewAlone(js, keeper.AloneOptions{Log: zerolog.Nop(), Forwarded: func(context.Context) (uint64, error) { return 0, errors.New("no right to read") }})
	list := s.aloneChecks()
	if text, ok := list[0].Run(t.Context()); !ok {
		t.Errorf("before its first round: %s", text)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.keepAlone(ctx) }()
	defer func() { stop(); <-ended }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) { // between two looks
		if text, ok := list[0].Run(t.Context()); !ok && strings.Contains(text, "no right to read") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("that it cannot remove is not told")
		}
	}
}
