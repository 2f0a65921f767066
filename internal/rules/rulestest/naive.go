// Package rulestest is a second reading of SPEC 3, for tests only: slow, plain,
// written from the SPEC's text and sharing nothing with package rules but the
// vocabulary of package event.
package rulestest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vestnik/internal/event"
)

// A Rule is what stands in the file, unread.
type Rule struct {
	Name   *event.Attr  // nil = unnamed
	Attrs  []event.Attr // of event_attrs
	Params []event.Attr // of event_params
}

// A File is rules and a text that says the same.
type File struct {
	Rules []Rule
	Text  []byte
}

// A Verdict is what SPEC 3 says of one event; the shape is that of DESIGN 5.
type Verdict struct {
	Rule       *string  `json:"rule"`
	Index      int      `json:"index"`
	Matched    int      `json:"matched"`
	Suppressed bool     `json:"suppressed"`
	Delivery   string   `json:"delivery"`
	Period     Period   `json:"period"`
	Priority   string   `json:"priority"`
	TTL        int      `json:"ttl"`
	Sinks      []string `json:"sinks"`
	Matching   []Match  `json:"matching"`
}

// A Period is the attribute period, read.
type Period struct {
	Never   bool `json:"never"`
	Count   int  `json:"count"`
	Timeout int  `json:"timeout"`
}

// A Match is a rule that matches.
type Match struct {
	Rule    string `json:"rule"`
	Index   int    `json:"index"`
	Matched int    `json:"matched"`
}

// Names gives each rule its name.
// "An unnamed rule is called #<index from 0>."
func (f File) Names() []string {
	var names []string
	for i, r := range f.Rules {
		name := "#" + strconv.Itoa(i)
		if r.Name != nil && r.Name.Value != "" {
			name = r.Name.Value
		}
		names = append(names, name)
	}
	return names
}

// Valid tells whether the file is without errors.
func (f File) Valid() bool {
	names := f.Names()
	for i, r := range f.Rules {
		if slices.Contains(names[:i], names[i]) { // "a doubled rule name"
			return false
		}
		for _, p := range r.Params {
			if !validParam(p) {
				return false
			}
		}
	}
	return true
}

func validParam(p event.Attr) bool {
	switch p.Name {
	case "delivery": // "never | guaranteed"
		return p.Value == "never" || p.Value == "guaranteed"
	case "priority": // "priority='high|normal|low'"
		return p.Value == "high" || p.Value == "normal" || p.Value == "low"
	case "period":
		_, ok := ReadPeriod(p.Value)
		return ok
	case "ttl":
		_, ok := within(p.Value)
		return ok
	case "sinks":
		names := sinkNames(p.Value)
		for i, s := range names {
			if s != "uralsib" && s != "proxima" && s != "mailbox" || slices.Contains(names[:i], s) {
				return false
			}
		}
		return true
	}
	return false // "unknown attribute"
}

func sinkNames(s string) []string {
	names := strings.Split(s, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// Attributes' values never reach the parser with these as they are: tab and
// line ends are written as references.
const gap = "[ \t\r\n,;]+"

var (
	count   = regexp.MustCompile(`^count_([0-9]+)$`)
	timeout = regexp.MustCompile(`^timeout_([0-9]+)$`)
	first   = regexp.MustCompile(`^count_([0-9]+)` + gap + `timeout_([0-9]+)$`)
	second  = regexp.MustCompile(`^timeout_([0-9]+)` + gap + `count_([0-9]+)$`)
)

// ReadPeriod: "never | immediately (default) | count_N | timeout_S, or one count
// and one timeout separated by one or more of comma, blank, semicolon … never and
// immediately stand alone; 1 ≤ N, S ≤ 10,000,000; anything else is an error".
func ReadPeriod(s string) (p Period, ok bool) {
	c, t := "1", "1"
	both := func(m []string, c, t *string) bool {
		if m != nil {
			*c, *t = m[1], m[2]
		}
		return m != nil
	}
	switch {
	case s == "never":
		return Period{Never: true}, true
	case s == "immediately":
		return Period{}, true
	case count.MatchString(s):
		p.Count, ok = within(count.FindStringSubmatch(s)[1])
		return p, ok
	case timeout.MatchString(s):
		p.Timeout, ok = within(timeout.FindStringSubmatch(s)[1])
		return p, ok
	case both(first.FindStringSubmatch(s), &c, &t), both(second.FindStringSubmatch(s), &t, &c):
		n, okN := within(c)
		d, okD := within(t)
		return Period{Count: n, Timeout: d}, okN && okD
	}
	return p, false
}

func within(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return int(n), err == nil && 1 <= n && n <= 10_000_000
}

// Decide says what becomes of an event with these attributes. The file is valid.
func (f File) Decide(attrs []event.Attr) Verdict {
	// "no matching rule = guaranteed, immediately"
	v := Verdict{Index: -1, Delivery: "guaranteed", Priority: "normal", Sinks: []string{}, Matching: []Match{}}
	for i, name := range f.Names() {
		if !f.Rules[i].matches(attrs) {
			continue
		}
		n := len(f.Rules[i].Attrs)
		v.Matching = append(v.Matching, Match{name, i, n})
		// "most matching attributes win", "on a tie the earlier rule wins"
		if v.Rule == nil || n > v.Matched {
			v.Rule, v.Index, v.Matched = &name, i, n
		}
	}
	if v.Rule != nil {
		v.apply(f.Rules[v.Index].Params)
	}
	return v
}

// "an attribute of the rule that the event lacks rules it out"
func (r Rule) matches(attrs []event.Attr) bool {
	for _, want := range r.Attrs {
		found := false
		for _, have := range attrs {
			if have.Name == want.Name && (have.Value == want.Value || want.Value == "_EXIST") {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

func (v *Verdict) apply(params []event.Attr) {
	for _, p := range params {
		switch p.Name {
		case "delivery":
			v.Delivery = p.Value
		case "priority":
			v.Priority = p.Value
		case "period":
			v.Period, _ = ReadPeriod(p.Value)
		case "ttl":
			v.TTL, _ = within(p.Value)
		case "sinks":
			v.Sinks = sinkNames(p.Value)
		}
	}
	v.Suppressed = v.Delivery == "never" || v.Period.Never // "Never if either says never"
}
