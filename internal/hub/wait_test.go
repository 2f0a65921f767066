package hub_test

import (
	"context"
	"testing"
	"time"

	"vestnik/internal/hub/hubtest"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// refused tells whether server i does not let a leaf link in.
func refused(t *testing.T, h *hubtest.Hub, i int, creds string) bool {
	t.Helper()
	l, err := tryLeafAt(t, h, h.Hosts()[i], creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	return !l.settle()
}
