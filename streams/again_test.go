package streams_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"vestnik/streams"
)

// SPEC 4: a broker that is killed again and again finds its programs at work when it
// is back; what fails for other reasons is not asked for all the time.
func TestAgain(t *testing.T) {
	t.Parallel()
	lost, other := fmt.Errorf("%w: RECONNECTING", streams.ErrConnectionLost), errors.New("ROUTE refuses")
	const ms, s = time.Millisecond, time.Second
	for _, c := range []struct {
		name string
		errs []error
		work time.Duration
		want []time.Duration
	}{
		{"lost", []error{lost, lost, lost, lost, lost, lost, lost, lost}, s, []time.Duration{100 * ms, 100 * ms, 100 * ms, 100 * ms, 100 * ms, 100 * ms, 100 * ms, 100 * ms}},
		{"refused", []error{other, other, other, other, other, other, other, other}, s, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5 * s, 5 * s}},
		{"refused, then lost", []error{other, other, other, lost, other}, s, []time.Duration{100 * ms, 200 * ms, 400 * ms, 100 * ms, 200 * ms}},
		{"refused after a long time", []error{other, other, other}, 2 * time.Minute, []time.Duration{100 * ms, 100 * ms, 100 * ms}},
	} {
		var again streams.Again
		for i, err := range c.errs {
			if got := again.After(err, c.work); got != c.want[i] {
				t.Errorf("%s: pause %d is %s, want %s", c.name, i+1, got, c.want[i])
			}
		}
	}
}
