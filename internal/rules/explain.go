package rules

import (
	"fmt"
	"strings"

	"vestnik/internal/event"
)

// An Explanation says how the rules came to their verdict.
type Explanation struct {
	Verdict Verdict
	Steps   []Step // one for each rule, in file order
}

// A Step is what one rule has to do with an event.
type Step struct {
	Rule    *Rule
	Matches bool
	Matched int    // attributes that match, counted up to the first that does not
	Won     bool   // the rule decides
	Why     string // why it won, lost or does not match; a clause in English
}

// Explain goes through all rules one by one and tells what came of each.
func (s *Set) Explain(attrs []event.Attr) Explanation {
	x := Explanation{Verdict: s.Match(attrs)}
	if s == nil {
		return x
	}
	for i := range s.Rules {
		step := try(&s.Rules[i], attrs)
		if step.Matches {
			step.against(x.Verdict)
		}
		x.Steps = append(x.Steps, step)
	}
	if list := x.Matching(); len(list) == 1 {
		x.Steps[list[0].Rule.Index].Why = "the only rule that matches"
	}
	return x
}

// Matching is the steps of the rules that match, in file order.
func (x Explanation) Matching() []Step {
	var list []Step
	for _, s := range x.Steps {
		if s.Matches {
			list = append(list, s)
		}
	}
	return list
}

func try(r *Rule, attrs []event.Attr) Step {
	s := Step{Rule: r}
	for _, a := range r.Attrs {
		value, ok := event.Lookup(attrs, a.Name)
		switch {
		case !ok:
			s.Why = fmt.Sprintf("the event has no %s", a.Name)
			return s
		case a.Value != Exist && a.Value != value:
			s.Why = fmt.Sprintf("%s is %s, not %s", a.Name, quote(value), quote(a.Value))
			return s
		}
		s.Matched++
	}
	s.Matches = true
	return s
}

// against compares a rule that matches with the winner.
func (s *Step) against(v Verdict) {
	switch {
	case s.Rule == v.Rule:
		s.Won = true
		s.Why = "the most attributes match"
	case s.Matched < v.Matched:
		s.Why = fmt.Sprintf("matches, but on fewer attributes than %s", v.Rule.Name)
	default:
		s.Why = fmt.Sprintf("matches on as many attributes, but %s stands before it", v.Rule.Name)
	}
}

// Outcome says in English what happens to an event; sinks is where it goes, nil
// = not known here.
func (p Params) Outcome(sinks []string) string {
	if p.Never {
		return "suppressed: never delivered"
	}
	to := "the sinks of its signature"
	if len(sinks) > 0 {
		to = strings.Join(sinks, ", ")
	}
	text := fmt.Sprintf(p.wait(), to) + ", lane " + p.Priority
	if p.TTL > 0 {
		text += fmt.Sprintf("; expired if that has not succeeded %d s after receipt", p.TTL)
	}
	return text
}

// wait is a format with %s for the sinks.
func (p Params) wait() string {
	switch {
	case !p.Holds():
		return "delivered at once to %s"
	case p.Timeout == 0:
		return fmt.Sprintf("held until %d events, then delivered to %%s", p.Count)
	case p.Count == 0:
		return fmt.Sprintf("held until %d s after the first, then delivered to %%s", p.Timeout)
	}
	return fmt.Sprintf("held until %d events or %d s after the first, then delivered to %%s", p.Count, p.Timeout)
}
