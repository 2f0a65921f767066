package rules

import (
	"regexp"
	"slices"
	"strings"
)

// maxNumber bounds N, S and ttl (SPEC 3).
const maxNumber = 10_000_000

// params reads <event_params>; nil (missing) gives the defaults.
func (c *checker) params(e *element) Params {
	p := defaults
	if e == nil {
		return p
	}
	for _, a := range e.attrs {
		switch a.name {
		case "delivery":
			p.Delivery = c.oneOf(a, Guaranteed, Never)
		case "period":
			c.period(a, &p)
		case "priority":
			p.Priority = c.oneOf(a, High, Normal, Low)
		case "sinks":
			p.Sinks = c.sinkList(a)
		case "ttl":
			p.TTL = c.number(a, a.value)
		default:
			c.add(a.at, "unknown attribute %s of <event_params>%s", a.name,
				meant(a.name, "delivery", "period", "priority", "sinks", "ttl"))
		}
	}
	// SPEC 3: never if either says never.
	p.Never = p.PeriodNever || p.Delivery == Never
	return p
}

func (c *checker) oneOf(a attribute, values ...string) string {
	if !slices.Contains(values, a.value) {
		c.add(a.at, "%s %s: want %s%s", a.name, quote(a.value), strings.Join(values, " or "), meant(a.value, values...))
	}
	return a.value
}

var separators = regexp.MustCompile(`[, \t\r\n;]+`)

// period: SPEC 3: never | immediately | count_N | timeout_S, or one count and
// one timeout separated by one or more of comma, blank, semicolon.
func (c *checker) period(a attribute, p *Params) {
	items := separators.Split(a.value, -1)
	switch {
	case a.value == "":
		c.add(a.at, "period is empty: want never, immediately, count_N, timeout_S, or a count and a timeout")
		return
	case items[0] == "" || items[len(items)-1] == "":
		c.add(a.at, "period %s begins or ends with a separator", quote(a.value))
		return
	}
	for _, item := range items {
		if !c.periodItem(a, item, len(items) == 1, p) {
			return
		}
	}
}

// periodItem is false if the item is wrong: one problem is enough for a period.
func (c *checker) periodItem(a attribute, item string, only bool, p *Params) bool {
	kind, n, numbered := strings.Cut(item, "_")
	switch {
	case item == Never || item == "immediately":
		p.PeriodNever = item == Never
		if !only {
			c.add(a.at, "period %s: %s stands alone", quote(a.value), item)
		}
		return only
	case kind == "count" && numbered:
		return c.held(a, &p.Count, kind, n)
	case kind == "timeout" && numbered:
		return c.held(a, &p.Timeout, kind, n)
	}
	c.add(a.at, "period %s: %s is not never, immediately, count_N or timeout_S%s", quote(a.value), quote(item), meantPeriod(item))
	return false
}

// meantPeriod looks at the word only: count5 and Count-5 mean count_N.
func meantPeriod(item string) string {
	word := strings.TrimRight(item, "-_0123456789")
	if word != item {
		word += "_n"
	}
	return meant(word, Never, "immediately", "count_N", "timeout_S")
}

func (c *checker) held(a attribute, where *int, kind, n string) bool {
	if *where != 0 {
		c.add(a.at, "period %s: a second %s", quote(a.value), kind)
		return false
	}
	*where = c.number(a, n)
	return *where > 0
}

// number reads 1 to 10,000,000, written in digits only; -1 if it is anything else.
func (c *checker) number(a attribute, s string) int {
	n, digits := 0, s != ""
	for _, r := range s {
		digits = digits && '0' <= r && r <= '9'
		n = min(n*10+int(r-'0'), maxNumber+1)
	}
	what := a.name + " " + quote(s)
	if s != a.value {
		what = a.name + " " + quote(a.value) + ": " + quote(s)
	}
	switch {
	case !digits:
		c.add(a.at, "%s is not a whole number", what)
	case n < 1 || n > maxNumber:
		c.add(a.at, "%s is not from 1 to %d", what, maxNumber)
	default:
		return n
	}
	return -1
}

// sinkList: SPEC 3: sinks='uralsib,proxima'. Blanks around a name are allowed.
func (c *checker) sinkList(a attribute) []string {
	var list []string
	for name := range strings.SplitSeq(a.value, ",") {
		name = strings.Trim(name, " \t\r\n")
		switch {
		case name == "":
			c.add(a.at, "sinks %s: a name is missing", quote(a.value))
		case !slices.Contains(c.sinks, name):
			c.add(a.at, "sinks %s: unknown sink %s%s (known: %s)", quote(a.value), quote(name),
				meant(name, c.sinks...), strings.Join(c.sinks, ", "))
		case slices.Contains(list, name):
			c.add(a.at, "sinks %s: %s is named twice", quote(a.value), name)
		default:
			list = append(list, name)
		}
	}
	return list
}
