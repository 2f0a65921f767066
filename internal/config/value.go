package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/conf"
)

// The functions here take one value of the file into a field: they check its
// type and bounds and say what is expected instead.

// A refine checks a text and brings it into its final form.
type refine func(string) (string, error)

func text(to *string, steps ...refine) func(*reader, node) {
	return func(r *reader, n node) {
		s, ok := n.value.(string)
		if !ok {
			r.bad(n, "must be a text in quotes")
			return
		}
		for _, step := range steps {
			var err error
			if s, err = step(s); err != nil {
				r.bad(n, "%v", err)
				return
			}
		}
		*to = s
	}
}

func oneOf(words ...string) refine {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("must be %s, not %q%s", strings.Join(words, " or "), s, didYouMean(s, words))
		}
		return s, nil
	}
}

// file takes the path of a file or folder.
func file(to *string) func(*reader, node) {
	return func(r *reader, n node) {
		text(to, printable)(r, n)
		if *to != "" {
			*to = r.resolve(*to)
		}
	}
}

// printable catches "C:\temp", whose \t is a tab.
func printable(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("must not be empty")
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' }) {
		return "", fmt.Errorf(`%q holds a control character: in double quotes \ begins an escape, write / or use single quotes`, s)
	}
	return s, nil
}

func boolean(to *bool) func(*reader, node) {
	return func(r *reader, n node) {
		b, ok := n.value.(bool)
		if !ok {
			r.bad(n, "must be on or off")
			return
		}
		*to = b
	}
}

func whole(to *int, least, most int64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(int64)
		if !ok || v < least || v > most {
			r.bad(n, "must be a whole number from %d to %d", least, most)
			return
		}
		*to = int(v)
	}
}

func rate(to *float64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(float64)
		if i, whole := n.value.(int64); whole {
			v, ok = float64(i), true
		}
		if !ok || v < 0 || v > 1e6 {
			r.bad(n, "must be a number of events per second from 0 (no limit) to 1000000")
			return
		}
		*to = v
	}
}

// size takes a number of bytes, 0 being the default; 2GB is a number to the
// parser, "2GB" in quotes is read as one here.
func size(to *int64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(int64)
		if s, quoted := n.value.(string); quoted {
			v, ok = parseSize(s)
		}
		if !ok || v < 0 {
			r.bad(n, "must be a size in bytes, such as 512MB or 2GB")
			return
		}
		*to = v
	}
}

var sizeForm = regexp.MustCompile(`^[0-9]+[ ]*([kmgtKMGT][iI]?[bB]?)?$`)

func parseSize(s string) (int64, bool) {
	if !sizeForm.MatchString(s) {
		return 0, false
	}
	m, err := conf.Parse("size: " + strings.ReplaceAll(s, " ", ""))
	if err != nil {
		return 0, false
	}
	v, ok := m["size"].(int64)
	return v, ok
}

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

// texts takes a list of texts, or one text as a list of one.
func texts(to *[]string, steps ...refine) func(*reader, node) {
	return func(r *reader, n node) {
		items, ok := n.value.(list)
		if !ok {
			items = list{n}
		}
		out := make([]string, 0, len(items))
		for _, item := range items {
			var s string
			before := len(r.problems)
			text(&s, steps...)(r, item)
			switch {
			case len(r.problems) > before:
			case slices.Contains(out, s):
				r.bad(item, "%s is given twice", s)
			default:
				out = append(out, s)
			}
		}
		*to = out
	}
}
