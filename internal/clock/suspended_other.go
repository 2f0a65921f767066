//go:build !linux

package clock

import "time"

// suspended is nothing here: on Windows the interrupt time, which Go reads as its
// monotonic clock, counts suspension.
func suspended() time.Duration { return 0 }
