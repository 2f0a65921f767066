package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// stalls knows when this machine had no processor or disk for who wanted one: other
// work on it must not look like ours being slow. Where the system does not tell
// (/proc/pressure), there are none.
type stalls struct {
	mu      sync.Mutex
	samples []stall
}

type stall struct {
	at    time.Time
	total time.Duration // of waiting since the machine's start
}

const stallEvery = 50 * time.Millisecond

// watch takes samples until the test's end.
func (s *stalls) watch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(stallEvery)
		defer tick.Stop()
		for {
			s.sample()
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (s *stalls) sample() {
	x := stall{at: time.Now(), total: pressure("cpu") + pressure("io")}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, x)
}

func pressure(of string) time.Duration {
	text, err := os.ReadFile("/proc/pressure/" + of)
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), "total=")
	var us int64
	if _, err := fmt.Sscan(after, &us); err != nil {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// between is how long somebody waited in the interval, never longer than it is.
func (s *stalls) between(from, to time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var first, last *stall
	for i := range s.samples {
		x := &s.samples[i]
		if x.at.Before(from) || first == nil {
			first = x
		}
		if x.at.Before(to) {
			last = x
		}
	}
	if last == nil {
		return 0
	}
	return min(max(last.total-first.total, 0), to.Sub(from))
}
