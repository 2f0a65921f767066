package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// suspended is how long the computer has been suspended since it was started: what
// CLOCK_BOOTTIME counts and CLOCK_MONOTONIC, which Go reads, does not.
func suspended() time.Duration {
	var asleep time.Duration
	for range 5 { // until nothing came between the readings
		before, boot, after := read(unix.CLOCK_MONOTONIC), read(unix.CLOCK_BOOTTIME), read(unix.CLOCK_MONOTONIC)
		asleep = boot - before
		if after-before < time.Millisecond {
			break
		}
	}
	return asleep
}

func read(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
