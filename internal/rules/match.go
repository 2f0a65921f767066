package rules

import "vestnik/internal/event"

// A Verdict says which rule an event goes by.
type Verdict struct {
	Rule    *Rule // of the Set, not to be changed; nil = no rule matches
	Matched int   // how many attributes of the rule the event has
	Params  Params

	key string
}

// Name is the rule's name, "" if none matches.
func (v Verdict) Name() string {
	if v.Rule == nil {
		return ""
	}
	return v.Rule.Name
}

// Index is the rule's place in the file from 0, -1 if none matches.
func (v Verdict) Index() int {
	if v.Rule == nil {
		return -1
	}
	return v.Rule.Index
}

// Key is the rule's Key, 16 zeros if none matches.
func (v Verdict) Key() string {
	if v.Rule == nil {
		return "0000000000000000"
	}
	return v.key
}

// Match finds the rule for an event's attributes, whose names are unique. It
// may be called by many goroutines at once and allocates nothing for sets of up
// to 1,024 different conditions.
//
// SPEC 3: an attribute of the rule that the event lacks rules it out, most
// matching attributes win, on a tie the earlier rule; no matching rule =
// guaranteed, immediately.
func (s *Set) Match(attrs []event.Attr) Verdict {
	if s == nil {
		return Verdict{Params: defaults}
	}
	i := s.index.best(attrs)
	if i < 0 {
		return Verdict{Params: defaults}
	}
	r := &s.Rules[i]
	return Verdict{Rule: r, Matched: len(r.Attrs), Params: r.Params, key: s.index.keys[i]}
}
