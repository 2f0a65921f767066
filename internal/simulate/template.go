package simulate

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

//go:embed templates
var embedded embed.FS

// A Template makes one of the events that ProATM sends: field = value with
// #MACRO# in it (SPEC 7). Templates are immutable and safe for concurrent use.
type Template struct {
	Name   string
	Weight int          // share in a scenario, relative to the other templates
	Fields []event.Attr // in the order in which the event has them

	shared map[string]string   // the message's own macros that hold in every case
	cases  []map[string]string // sets of the others, one is picked; empty = none
}

// A Moment is what the common macros of table 1 speak of.
type Moment struct {
	Terminal string // the atm number, 1 to 8 digits
	Time     time.Time
}

// programVersion is #PROATM_VERSION#, as the manual's GET_STATUS example has it.
const programVersion = "5.5.0.16499"

// commonMacros are the macros of table 1, which any template may use.
var commonMacros = map[string]func(Moment) string{
	"EVENT_TIME":           func(m Moment) string { return strconv.FormatInt(m.Time.Unix(), 10) },
	"EVENT_TIME_FORMATTED": func(m Moment) string { return m.Time.Format("2006.01.02 15:04:05") },
	"TERMINAL_ID":          func(m Moment) string { return streams.Terminal(m.Terminal) },
	"PROSET_MACHINE_NO":    func(m Moment) string { return streams.Terminal(m.Terminal)[2:] },
	"PROATM_VERSION":       func(Moment) string { return programVersion },
}

var templates = sync.OnceValues(func() ([]Template, error) {
	dir, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, err
	}
	return ParseTemplates(dir, "events.txt")
})

// Templates are the manual's events, one for each message of table 2, in the
// manual's order.
func Templates() []Template {
	all, err := templates()
	if err != nil {
		panic(fmt.Sprintf("embedded templates: %v", err)) // a test parses them
	}
	return all
}

// Expand makes an event's attributes: a case is picked, then each field's
// macros are replaced. The same rng state and moment give the same attributes.
func (t *Template) Expand(m Moment, rng *rand.Rand) []event.Attr {
	return t.expandWith(m, rng, nil)
}

// expandWith is Expand with some of the message's own macros set; what they are set
// to is taken as it is.
func (t *Template) expandWith(m Moment, rng *rand.Rand, set map[string]string) []event.Attr {
	values := t.pick(rng)
	replace := func(name string) string {
		if f, ok := commonMacros[name]; ok {
			return f(m)
		}
		return values[name]
	}
	for _, name := range sortedNames(values) {
		values[name] = randomNumbers(expand(values[name], func(n string) string { return commonMacros[n](m) }), rng)
	}
	maps.Copy(values, set)
	attrs := make([]event.Attr, len(t.Fields))
	for i, f := range t.Fields {
		attrs[i] = event.Attr{Name: f.Name, Value: expand(f.Value, replace)}
	}
	return attrs
}

// pick copies the shared macros and those of one case.
func (t *Template) pick(rng *rand.Rand) map[string]string {
	values := make(map[string]string, len(t.shared)+8)
	for k, v := range t.shared {
		values[k] = v
	}
	if len(t.cases) > 0 {
		for k, v := range t.cases[rng.IntN(len(t.cases))] {
			values[k] = v
		}
	}
	return values
}

var (
	macroPattern = regexp.MustCompile(`#([A-Za-z0-9_]+)#`)
	rangePattern = regexp.MustCompile(`\{([0-9]{1,9})\.\.([0-9]{1,9})\}`)
)

// expand replaces each #NAME# once; what it puts in is not looked at again.
func expand(s string, value func(name string) string) string {
	if !strings.Contains(s, "#") {
		return s
	}
	return macroPattern.ReplaceAllStringFunc(s, func(m string) string { return value(m[1 : len(m)-1]) })
}

// randomNumbers replaces each {1..99} by a number of that range.
func randomNumbers(s string, rng *rand.Rand) string {
	return rangePattern.ReplaceAllStringFunc(s, func(r string) string {
		low, high, _ := strings.Cut(strings.Trim(r, "{}"), "..")
		a, _ := strconv.Atoi(low)
		b, _ := strconv.Atoi(high)
		return strconv.Itoa(a + rng.IntN(max(b-a, 0)+1))
	})
}
