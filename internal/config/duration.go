package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// duration takes a time with its unit; unquoted 5m would be the number 5000000.
func duration(to *time.Duration, least, most time.Duration) func(*reader, node) {
	return func(r *reader, n node) {
		var d time.Duration
		switch v := n.value.(type) {
		case string:
			var ok bool
			if d, ok = ParseDuration(v); !ok {
				r.bad(n, `%q is not a time such as "10s", "5m", "12h" or "30d"`, v)
				return
			}
		default:
			if v != int64(0) {
				r.bad(n, `must be a time in quotes with its unit, such as "10s" or "5m"`)
				return
			}
		}
		r.bounded(n, to, d, [2]time.Duration{least, most})
	}
}

func (r *reader) bounded(n node, to *time.Duration, d time.Duration, bounds [2]time.Duration) {
	if d < bounds[0] || d > bounds[1] {
		r.bad(n, "must be from %s to %s", spell(bounds[0]), spell(bounds[1]))
		return
	}
	*to = d
}

// seconds takes a number of seconds, as the registry has it, or a time with its unit.
func seconds(to *time.Duration, least, most time.Duration) func(*reader, node) {
	return func(r *reader, n node) {
		var number float64
		switch v := n.value.(type) {
		case int64:
			number = float64(v)
		case float64:
			number = v
		case string:
			var err error
			if number, err = strconv.ParseFloat(v, 64); err != nil {
				duration(to, least, most)(r, n)
				return
			}
		default:
			r.bad(n, "must be a number of seconds")
			return
		}
		if math.IsNaN(number) || math.Abs(number) > 1e9 {
			number = -1
		}
		r.bounded(n, to, time.Duration(number*float64(time.Second)), [2]time.Duration{least, most})
	}
}

const day = 24 * time.Hour

var dayForm = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

// ParseDuration reads what time.ParseDuration does, and days: "30d", "1d12h".
func ParseDuration(s string) (time.Duration, bool) {
	var days int64
	if m := dayForm.FindStringSubmatch(s); m != nil {
		days, _ = strconv.ParseInt(m[1], 10, 64) // six digits
		if s = m[2]; s == "" {
			s = "0s"
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || days > int64(math.MaxInt64/day)-1 || d < 0 && days > 0 || d > day && days > 0 {
		return 0, false
	}
	return d + time.Duration(days)*day, true
}

// spell writes a bound as one would type it.
func spell(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d == 0:
		return "0"
	}
	return strings.Replace(strings.Replace(d.String(), "m0s", "m", 1), "h0m", "h", 1)
}
