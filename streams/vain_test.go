package streams

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A reader whose consumers give nothing does not run in circles: the second new one
// waits; and a Scan gives up.
func TestVain(t *testing.T) {
	t.Parallel()
	why := errors.New("consumer of no use")
	p := &pull{stream: Done, vain: maxVain, limited: true}
	if err := p.again(t.Context(), why); !errors.Is(err, why) {
		t.Errorf("after %d consumers: %v", p.vain, err)
	}
	var waited time.Duration
	for p.vain = 1; p.vain <= maxVain; p.vain++ {
		begun := time.Now()
		if err := p.rest(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		if p.vain == 1 && took > 20*time.Millisecond || p.vain > 1 && took < 80*time.Millisecond {
			t.Errorf("consumer %d was made after %s", p.vain, took)
		}
		waited += took
	}
	if waited < 4*time.Second || waited > 8*time.Second {
		t.Errorf("%d consumers took %s", maxVain, waited)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.rest(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the reader ends: %v", err)
	}
}
