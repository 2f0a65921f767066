package streams

import (
	"errors"
	"time"
)

// Again says how long to wait before what was interrupted begins again from its
// streams. Its zero value is ready.
//
// A lost connection costs no more than the shortest pause, however often it is lost:
// the connection itself waits between its tries, and a broker that comes back must
// find its programs at work (SPEC 4). Everything else is asked for less and less
// often, until a session has lasted.
type Again struct{ pause time.Duration }

const (
	minAgain = 100 * time.Millisecond
	maxAgain = 5 * time.Second
	lasted   = time.Minute
)

// After is the pause after a session that ended with err and was so long at work.
func (a *Again) After(err error, work time.Duration) time.Duration {
	if errors.Is(err, ErrConnectionLost) || work > lasted || a.pause == 0 {
		a.pause = minAgain
		return minAgain
	}
	a.pause = min(2*a.pause, maxAgain)
	return a.pause
}
