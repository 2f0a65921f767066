package router_test

import (
	"testing"

	"vestnik/streams"
)

// A hole is mended although DONE is full to the brim: the keeper, which makes room,
// waits for that.
func TestHoleWhileDoneIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain", "plain", "plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3")
	stop()
	w.damage(3)
	done, err := w.js.Stream(t.Context(), streams.Done)
	if err != nil {
		t.Fatal(err)
	}
	cfg := done.CachedInfo().Config
	info, _ := done.Info(t.Context())
	cfg.MaxBytes = int64(info.State.Bytes) + 2000
	if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for n := 500; n > 0; {
		if _, err := w.js.Publish(t.Context(), "done.uralsib.batch", make([]byte, n)); err != nil {
			n /= 2
		}
	}
	w.run(testRules)
	waitFor(t, func() bool { return w.hole() == 0 })
}
