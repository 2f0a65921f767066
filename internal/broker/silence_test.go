package broker

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A silent link is left two pings after what was sent at 4 kbit/s would be through; a slow
// one, and one that answers, never; who goes on sending finds it too.
func TestSilence(t *testing.T) {
	t.Parallel()
	const ping = 5 * time.Second
	for _, c := range []struct {
		name    string
		rtt     string
		out     int64 // sent at the beginning
		each    int64 // and in every second
		from    int   // second in which something comes for the last time
		answers bool  // to pings
		want    int   // second in which it is cut, 0 = never
	}{
		{"nothing sent", "40ms", 0, 0, 0, false, 16},
		{"64 KiB", "40ms", 65536, 0, 0, false, 142},
		{"64 KiB, and something came behind them", "40ms", 65536, 0, 60, false, 142},
		{"64 KiB, and something came late", "40ms", 65536, 0, 140, false, 156},
		{"64 KiB through", "40ms", 65536, 0, 200, false, 216},
		{"goes on asking", "40ms", 0, 100, 0, false, 16},
		{"goes on and on", "40ms", 0, 100000, 400, true, 0},
		{"a quick line", "240µs", 0, 0, 0, false, 26},
		{"not asked yet", "0s", 0, 0, 0, false, 26},
		{"answers pings", "40ms", 0, 0, 0, true, 0},
	} {
		start := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
		l, got := server.LeafInfo{ID: 7, RTT: c.rtt, OutBytes: c.out}, 0
		var s silence
		for i := 0; i < 500 && got == 0; i++ {
			l.OutBytes += c.each
			if i <= c.from {
				l.InMsgs++
			}
			if c.answers && i%5 == 0 {
				l.RTT = time.Duration(40e6 + i).String()
			}
			if s.hear(&l, start.Add(time.Duration(i)*time.Second), ping) {
				got = i
			}
		}
		if got != c.want {
			t.Errorf("%s: cut in second %d, want %d", c.name, got, c.want)
		}
	}
}
