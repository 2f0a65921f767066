package hub_test

import (
	"testing"
	"time"

	"vestnik/internal/hub"
)

// Who is connected is known also while a server of the hub is down: that is when it is asked.
func TestOnlineWithoutOneServer(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.h.Stop(2)
	nc := s.h.Connect(hub.SystemRole)
	ctx, cancel := contextFor(t, 30*time.Second)
	defer cancel()
	began := time.Now()
	up, err := s.h.States(ctx, nc)
	if err != nil || len(up) != 2 {
		t.Fatalf("%+v %v", up, err)
	}
	online, err := s.h.Online(ctx, nc)
	if err != nil || len(online["00000041"]) != 1 {
		t.Errorf("%+v %v", online, err)
	}
	all, err := s.h.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Subscriber == "bob" && len(online[c.Key]) != 1 {
			t.Errorf("bob is not connected: %+v", online)
		}
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it takes %s", took)
	}
}
