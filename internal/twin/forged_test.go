package twin

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// An answer of the hub's, which another terminal had sent here with its own event in it, is
// no announcement; the same without headers is one.
func TestForged(t *testing.T) {
	t.Parallel()
	w := &watch{Options: Options{Self: Identity{Instance: "self"}, Log: zerolog.Nop()}, heard: make(chan announcement, 2)}
	m := nats.NewMsg("twin." + atm)
	m.Data = []byte(`{"instance":"elder","born":"2020-01-01T00:00:00Z","started":"2020-01-01T00:00:00Z"}`)
	m.Header.Set("Nats-Stream", "EVT")
	if w.receive(m); len(w.heard) != 0 {
		t.Error("a forged announcement is taken")
	}
	m.Header = nil
	if w.receive(m); len(w.heard) != 1 {
		t.Error("an announcement is not taken")
	}
}
