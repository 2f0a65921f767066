package rules

import (
	"fmt"

	"vestnik/internal/event"
)

// A checker turns elements into rules and gathers what SPEC 3 does not allow.
type checker struct {
	*problems
	sinks  []string
	starts []int // where each rule begins
}

// document reads the root element, nil if the syntax has none.
func (c *checker) document(root *element) []Rule {
	if root == nil {
		return nil
	}
	if root.name != "rules" {
		c.add(root.at, "the root element is <%s>, not <rules>", root.name)
		return nil
	}
	c.noAttributes(root)
	c.noText(root)
	var rules []Rule
	var names naming
	for _, e := range root.children {
		if e.name != "rule" {
			c.add(e.at, "unknown element <%s> in <rules>%s", e.name, meant(e.name, "rule"))
			continue
		}
		r := Rule{Index: len(rules)}
		names = append(names, c.rule(e, &r))
		rules = append(rules, r)
		c.starts = append(c.starts, e.at)
	}
	c.names(rules, names)
	return rules
}

// rule fills r and gives the attribute that names it, nil if there is none.
func (c *checker) rule(e *element, r *Rule) (name *attribute) {
	c.noText(e)
	for i, a := range e.attrs {
		switch {
		case a.name != "name":
			c.add(a.at, "unknown attribute %s of <rule>%s", a.name, meant(a.name, "name"))
		case a.value != "":
			name = &e.attrs[i]
		}
	}
	var attrs, params *element
	for _, child := range e.children {
		switch child.name {
		case "event_attrs":
			c.once(&attrs, child)
		case "event_params":
			c.once(&params, child)
		default:
			c.add(child.at, "unknown element <%s> in <rule>%s", child.name, meant(child.name, "event_attrs", "event_params"))
		}
	}
	c.present(e, attrs, "event_attrs")
	c.present(e, params, "event_params")
	if attrs != nil {
		for _, a := range attrs.attrs {
			r.Attrs = append(r.Attrs, event.Attr{Name: a.name, Value: a.value})
		}
	}
	r.Params = c.params(params)
	return name
}

// once keeps the first of its kind. SPEC 3: a doubled one is an error.
func (c *checker) once(first **element, e *element) {
	c.noText(e)
	for _, child := range e.children {
		c.add(child.at, "element <%s> inside <%s>, which has none", child.name, e.name)
	}
	if *first != nil {
		c.add(e.at, "a second <%s> in the rule", e.name)
		return
	}
	*first = e
}

// present: SPEC 3: a missing event_attrs or event_params is an error. Of a rule
// that the syntax breaks off nobody knows what would have come.
func (c *checker) present(rule, child *element, name string) {
	if child == nil && rule.closed {
		c.add(rule.at, "the rule has no <%s>", name)
	}
}

func (c *checker) noAttributes(e *element) {
	for _, a := range e.attrs {
		c.add(a.at, "unknown attribute %s of <%s>", a.name, e.name)
	}
}

func (c *checker) noText(e *element) {
	for _, at := range e.text {
		c.add(at, "text inside <%s>", e.name)
	}
}

// naming holds for each rule the attribute that names it, or nil.
type naming []*attribute

// names gives every rule its name. SPEC 3: an unnamed rule is called #<index>,
// a doubled name is an error; so is a name that an unnamed rule goes by.
func (c *checker) names(rules []Rule, given naming) {
	unnamed := map[string]bool{}
	for i := range rules {
		if given[i] == nil {
			rules[i].Name = fmt.Sprintf("#%d", i)
			unnamed[rules[i].Name] = true
		}
	}
	first := map[string]int{}
	for i, a := range given {
		if a == nil {
			continue
		}
		rules[i].Name = a.value
		switch j, doubled := first[a.value]; {
		case doubled:
			c.add(a.at, "the name %s is doubled: rule #%d has it already", quote(a.value), j)
		case unnamed[a.value]:
			c.add(a.at, "the name %s is taken: the unnamed rule of that index is called so", quote(a.value))
		default:
			first[a.value] = i
		}
	}
}
