package rules_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vestnik/internal/event"
	"vestnik/internal/rules"
	"vestnik/internal/rules/rulestest"
)

// verdict writes an Explanation in the words of the second reading.
func verdict(x rules.Explanation) rulestest.Verdict {
	v, p := x.Verdict, x.Verdict.Params
	out := rulestest.Verdict{Index: v.Index(), Matched: v.Matched, Suppressed: p.Never, Delivery: p.Delivery,
		Period: rulestest.Period{Never: p.PeriodNever, Count: p.Count, Timeout: p.Timeout}, Priority: p.Priority, TTL: p.TTL,
		Sinks: append([]string{}, p.Sinks...), Matching: []rulestest.Match{}}
	if v.Rule != nil {
		name := v.Name()
		out.Rule = &name
	}
	for _, s := range x.Matching() {
		out.Matching = append(out.Matching, rulestest.Match{Rule: s.Rule.Name, Index: s.Rule.Index, Matched: s.Matched})
	}
	return out
}

// Parse, Match and Explain say what the second reading of SPEC 3 says.
func TestAgainstSecondReading(t *testing.T) {
	t.Parallel()
	var refused, none, ties int
	rapid.Check(t, func(t *rapid.T) {
		f := rulestest.Files(12).Draw(t, "file")
		s, err := rules.Parse("f", f.Text)
		if !f.Valid() {
			refused++
			if _, ok := err.(rules.Errors); !ok {
				t.Fatalf("accepted, or not Errors: %v\n%s", err, f.Text)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, f.Text)
		}
		for _, attrs := range rapid.SliceOfN(rulestest.Attrs(8), 1, 10).Draw(t, "events") {
			want := f.Decide(attrs)
			if want.Rule == nil {
				none++
			}
			if len(want.Matching) > 1 {
				ties++
			}
			if d := cmp.Diff(want, verdict(s.Explain(attrs))); d != "" {
				t.Fatalf("%v\n%s\n%s", attrs, f.Text, d)
			}
		}
	})
	if refused == 0 || none == 0 || ties == 0 {
		t.Errorf("the generator is poor: %d refused, %d unmatched, %d with several rules", refused, none, ties)
	}
}

// Large sets, where the index has a choice, and more conditions than fit on the stack.
func TestLargeSets(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1000, 3000} {
		f, events := large(n)
		s, err := rules.Parse("f", f.Text)
		if err != nil {
			t.Fatal(err)
		}
		for _, attrs := range events {
			v, want := s.Match(attrs), f.Decide(attrs)
			if v.Index() != want.Index || v.Matched != want.Matched {
				t.Errorf("%d rules, %v: rule %d with %d attributes, want %d with %d", n, attrs, v.Index(), v.Matched, want.Index, want.Matched)
			}
		}
	}
}

// large is rules as a bank has them, many alike: by terminal, device and message.
func large(n int) (rulestest.File, [][]event.Attr) {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	attr := func(name, form string, most int) event.Attr {
		return event.Attr{Name: name, Value: fmt.Sprintf(form, rnd.IntN(most))}
	}
	draw := func() []event.Attr {
		return []event.Attr{
			{Name: "severity", Value: []string{"normal", "warning", "critical"}[rnd.IntN(3)]},
			attr("device", "%d", 15), attr("message", "Замятие %d", n), attr("atm", "%08d", n/10+1), attr("agent", "ProATM%d", 2),
			attr("status", "%d", 5), attr("component", "C%d", 20), attr("eventtime", "%d", 1000),
		}
	}
	var f rulestest.File
	var b strings.Builder
	b.WriteString("<rules>")
	for range n {
		var r rulestest.Rule
		b.WriteString("<rule><event_attrs")
		for _, a := range draw() {
			switch rnd.IntN(6) {
			case 0, 1, 2, 3:
				continue
			case 4:
				a.Value = rules.Exist
			}
			r.Attrs = append(r.Attrs, a)
			fmt.Fprintf(&b, " %s='%s'", a.Name, a.Value)
		}
		b.WriteString("/><event_params/></rule>")
		f.Rules = append(f.Rules, r)
	}
	b.WriteString("</rules>")
	f.Text = []byte(b.String())
	var events [][]event.Attr
	for range 300 {
		events = append(events, draw()[rnd.IntN(3):])
	}
	return f, events
}

func TestNilSet(t *testing.T) {
	t.Parallel()
	var s *rules.Set
	v := s.Match([]event.Attr{{Name: "a", Value: "b"}})
	if v.Rule != nil || v.Name() != "" || v.Index() != -1 || v.Key() != strings.Repeat("0", 16) || v.Params.Holds() || v.Params.Priority != "normal" {
		t.Errorf("%+v", v)
	}
	if x := s.Explain(nil); len(x.Steps) != 0 || s.File() != "" || s.Source() != nil || s.Digest() == "" {
		t.Errorf("%+v", x)
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	f, events := large(30)
	s, err := rules.Parse("f", f.Text)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { s.Match(events[0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The race detector watches.
func TestConcurrentMatch(t *testing.T) {
	t.Parallel()
	f, events := large(200)
	s, err := rules.Parse("f", f.Text)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range events {
				attrs := events[(i+g*70)%len(events)]
				if s.Match(attrs).Index() != f.Decide(attrs).Index {
					t.Errorf("wrong rule for %v", attrs)
				}
			}
		})
	}
	wg.Wait()
}

// SPEC 3: a group's key is the rule's content: not its name, place or spelling.
func TestKey(t *testing.T) {
	t.Parallel()
	const same = "9f9f52c26ba94ec0"
	for text, equal := range map[string]bool{
		`<rule name='x'><event_attrs b='2' a='1'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima'/></rule>`:                                 true,
		`<!-- --><rule name='y'><event_params sinks='proxima, uralsib' priority='normal' period='timeout_060 count_5'/><event_attrs a='&#49;' b='2'/></rule>`: true,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_5,timeout_60' sinks='uralsib'/></rule>`:                                                  false,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_5,timeout_61' sinks='uralsib,proxima'/></rule>`:                                          false,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_6,timeout_60' sinks='uralsib,proxima'/></rule>`:                                          false,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima' priority='low'/></rule>`:                           false,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima' ttl='5'/></rule>`:                                  false,
		`<rule><event_attrs a='1' b='2'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima' delivery='never'/></rule>`:                         false,
		`<rule><event_attrs a='1'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima'/></rule>`:                                                false,
		`<rule><event_attrs a='2' b='1'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima'/></rule>`:                                          false,
		`<rule><event_attrs a='1b2'/><event_params period='count_5,timeout_60' sinks='uralsib,proxima'/></rule>`:                                              false,
		`<rule><event_attrs a='1' b='2' c=''/><event_params period='count_5,timeout_60' sinks='uralsib,proxima'/></rule>`:                                     false,
	} {
		s, err := rules.Parse("f", []byte("<rules>"+text+"</rules>"))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Rules[0].Key(); (got == same) != equal {
			t.Errorf("%s\nkey %s", text, got)
		}
		if v := s.Match([]event.Attr{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}); v.Rule != nil && v.Key() != s.Rules[0].Key() {
			t.Errorf("the verdict's key is %s, the rule's %s", v.Key(), s.Rules[0].Key())
		}
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	for period, holds := range map[string]bool{
		"immediately": false, "never": false, "count_1": false, "count_2": true, "timeout_1": true,
		"count_1,timeout_60": false, "count_2,timeout_60": true,
	} {
		for _, delivery := range []string{"guaranteed", "never"} {
			text := fmt.Sprintf("<rules><rule><event_attrs/><event_params delivery='%s' period='%s'/></rule></rules>", delivery, period)
			s, err := rules.Parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			p := s.Rules[0].Params
			if want := holds && delivery != "never"; p.Holds() != want {
				t.Errorf("%s, %s: holds %v", delivery, period, p.Holds())
			}
			if want := delivery == "never" || period == "never"; p.Never != want {
				t.Errorf("%s, %s: never %v", delivery, period, p.Never)
			}
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{3, 30, 1000} {
		f, events := large(n)
		s, err := rules.Parse("f", f.Text)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				s.Match(events[i%len(events)])
				i++
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	f, _ := large(1000)
	b.SetBytes(int64(len(f.Text)))
	for b.Loop() {
		if _, err := rules.Parse("f", f.Text); err != nil {
			b.Fatal(err)
		}
	}
}
