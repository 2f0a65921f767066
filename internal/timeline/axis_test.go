package timeline

import (
	"fmt"
	"testing"
	"time"
)

// Ticks are round local times, also over a change of the clock, and not too many.
func TestTicks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		zone, from string
		length     time.Duration
		n          int
		want       string
	}{
		{"UTC", "2026-11-28T10:00:01Z", 9 * time.Second, 5, "[10:00:02 10:00:04 10:00:06 10:00:08]"},
		{"Asia/Kathmandu", "2026-11-28T17:50:00Z", time.Hour, 4, "[23:45 29 Nov 00:15 00:30]"},
		{"Europe/Moscow", "2026-11-28T10:00:00Z", 24 * time.Hour, 8, "[15:00 18:00 21:00 29 Nov 03:00 06:00 09:00 12:00]"},
		{"Europe/Berlin", "2026-03-28T22:00:00Z", 24 * time.Hour, 6, "[29 Mar 06:00 12:00 18:00]"}, // forward
		{"Europe/Berlin", "2026-10-24T20:00:00Z", 24 * time.Hour, 6, "[25 Oct 06:00 12:00 18:00]"}, // back
		{"Europe/Berlin", "2026-10-25T00:30:00Z", time.Hour, 4, "[02:30 02:45 02:00 02:15]"},       // the same hour twice
		{"UTC", "2026-11-01T12:00:00Z", 20 * 24 * time.Hour, 10, "[03 Nov 05 Nov 07 Nov 09 Nov 11 Nov 13 Nov 15 Nov 17 Nov 19 Nov 21 Nov]"},
		{"UTC", "2020-01-01T00:00:00Z", 6 * 365 * 24 * time.Hour, 3, "[Jan 2020 Jun 2022 Nov 2024]"},
	} {
		zone, err := time.LoadLocation(test.zone)
		if err != nil {
			t.Fatal(err)
		}
		from, err := time.Parse(time.RFC3339, test.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range (Span{from, from.Add(test.length)}).ticks(test.n, zone) {
			got = append(got, k.label)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s, %s, %s: %v, want %s", test.zone, test.from, test.length, got, test.want)
		}
	}
}
