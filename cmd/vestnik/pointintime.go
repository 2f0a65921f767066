package main

import (
	"fmt"
	"time"

	"vestnik/internal/config"
)

// pointInTime reads a span before now, today, yesterday, a day, or an RFC 3339 time; "" =
// none. A day's end is the beginning of the next one.
func pointInTime(flag, s string, now time.Time, end bool) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, ok := config.ParseDuration(s); ok {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	day, err := dayOf(s, now)
	if err != nil {
		return day, fmt.Errorf("%s %q: want a span before now such as 24h or 7d, today, yesterday, a day such as 2026-11-28, or a time such as 2026-11-28T10:00:00Z", flag, s)
	}
	if end {
		day = day.AddDate(0, 0, 1)
	}
	return day, nil
}

// dayOf is a day's beginning, by the local clock.
func dayOf(s string, now time.Time) (time.Time, error) {
	year, month, day := now.Local().Date()
	switch s {
	case "today":
		return time.Date(year, month, day, 0, 0, 0, 0, time.Local), nil
	case "yesterday":
		return time.Date(year, month, day-1, 0, 0, 0, 0, time.Local), nil
	}
	return time.ParseInLocation(time.DateOnly, s, time.Local)
}
