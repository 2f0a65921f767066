package hubtest

import (
	"testing"

	"vestnik/streams"
)

// The hub of vestnik hub init starts, and has R3 streams.
func TestStartSecure(t *testing.T) {
	t.Parallel()
	h := StartSecure(t, 3)
	h.MakeEvt(streams.HubOptions{})
}
