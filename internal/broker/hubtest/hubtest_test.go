package hubtest

import (
	"testing"
	"time"

	"vestnik/streams"
)

// The hub starts, has R3 streams, and is whole again after each server was away.
func TestHub(t *testing.T) {
	t.Parallel()
	h := Start(t, 3, "40")
	h.MakeEvt(streams.HubOptions{})
	js := h.JetStream()
	for i := range h.Servers {
		h.Stop(i)
		h.StartServer(i)
		h.Ready()
		for end := time.Now().Add(30 * time.Second); ; {
			if _, err := js.Publish(t.Context(), streams.Evt("40", "5", "critical", "x"), nil); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
}
