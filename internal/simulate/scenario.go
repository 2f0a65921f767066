package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
)

// jsonSignature is the signature of ПроКСИМА in the manual.
const jsonSignature = "JSON"

// A scenario is what one terminal sends, event by event: decided by the seed,
// the terminal's place among the others and, for the times, by the clock.
type scenario struct {
	opt       Options
	atm       string
	rng       *rand.Rand
	templates []Template
	weight    int
	number    int
}

func newScenario(opt Options, atm string, index int) *scenario {
	s := &scenario{opt: opt, atm: atm, number: opt.First - 1, templates: opt.chosen(),
		rng: rand.New(rand.NewPCG(opt.Seed, uint64(index)))}
	for _, t := range s.templates {
		s.weight += t.Weight
	}
	return s
}

// next makes the next event.
func (s *scenario) next() Sent {
	s.number++
	fault, signature, t := s.pickFault(), s.pickSignature(), s.pickTemplate()
	attrs := t.Expand(Moment{Terminal: s.atm, Time: s.opt.Now()}, s.rng)
	if s.opt.Tag != "" {
		attrs = append(attrs, event.Attr{Name: s.opt.Tag, Value: fmt.Sprintf("%s-%08d", s.atm, s.number)})
	}
	return Sent{Terminal: s.atm, Number: s.number, Template: t.Name, Signature: signature,
		Attrs: attrs, Body: proatm.Event(attrs), Fault: fault}
}

func (s *scenario) pickTemplate() *Template {
	n := s.rng.IntN(s.weight)
	i := slices.IndexFunc(s.templates, func(t Template) bool {
		n -= t.Weight
		return n < 0
	})
	return &s.templates[i]
}

func (s *scenario) pickSignature() string {
	if s.rng.Float64() < s.opt.JSONShare {
		return jsonSignature
	}
	return s.opt.Signature
}

func (s *scenario) pickFault() Fault {
	x := s.rng.Float64()
	for _, f := range Faults {
		if x -= s.opt.Faults[f]; x < 0 {
			return f
		}
	}
	return ""
}
