package router

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"vestnik/internal/event"
	"vestnik/internal/rules"
)

// policy is all that decides where an event goes: the rules, and the sinks of
// each signature.
type policy struct {
	set        *rules.Set
	signatures map[string][]string
	keys       []string // of the rules, by index
}

func newPolicy(set *rules.Set, signatures map[string][]string) policy {
	p := policy{set: set, signatures: signatures}
	if set != nil {
		for i := range set.Rules {
			p.keys = append(p.keys, set.Rules[i].Key())
		}
	}
	return p
}

type decision struct {
	rule   string // name, "" = no rule matches
	key    string // the rule's content
	params rules.Params
	sinks  []string
}

// decide is the pure heart: which rule wins, and which sinks get the event.
func (p policy) decide(e *event.Event) decision {
	v := p.set.Match(e.Attrs)
	d := decision{params: v.Params, sinks: v.Params.Sinks}
	if v.Rule != nil {
		d.rule, d.key = v.Rule.Name, p.keys[v.Rule.Index]
	}
	if d.sinks == nil { // SPEC 3: sinks= goes instead of the signature's
		d.sinks = p.signatures[e.Signature]
	}
	return d
}

func (p policy) same(q policy) bool {
	return q.set != nil && p.set.Digest() == q.set.Digest() && maps.EqualFunc(p.signatures, q.signatures, slices.Equal)
}

// record is the data of an rt.rules message.
type record struct {
	Digest     string              `json:"digest"`
	File       string              `json:"file"`
	Source     []byte              `json:"source"`
	Signatures map[string][]string `json:"signatures"`
}

func (p policy) record() ([]byte, error) {
	return json.Marshal(record{p.set.Digest(), p.set.File(), p.set.Source(), p.signatures})
}

// parsePolicy reads what record wrote.
func parsePolicy(data []byte, parse func(file string, data []byte) (*rules.Set, error)) (policy, error) {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return policy{}, fmt.Errorf("rules in ROUTE: %w", err)
	}
	set, err := parse(r.File, r.Source)
	if err != nil {
		return policy{}, fmt.Errorf("rules in ROUTE: %w", err)
	}
	return newPolicy(set, r.Signatures), nil
}
