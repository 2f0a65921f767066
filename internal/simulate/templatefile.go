package simulate

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vestnik/internal/event"
)

// ParseTemplates reads a file of templates; templates/events.txt describes the
// form in its head. All errors that can be found are returned, joined, each
// with file and line; a macro error names template, field and macro.
func ParseTemplates(dir fs.FS, file string) ([]Template, error) {
	text, err := fs.ReadFile(dir, file)
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	p := templateParser{dir: dir, file: file}
	for i, line := range strings.Split(string(text), "\n") {
		p.line = i + 1
		p.parse(strings.TrimSpace(line))
	}
	p.finish()
	if len(p.all) == 0 && len(p.errs) == 0 {
		p.fail("no templates")
	}
	return p.all, errors.Join(p.errs...)
}

type templateParser struct {
	dir   fs.FS
	file  string
	line  int
	all   []Template
	begun map[string]int // line of each template's header
	now   *Template
	errs  []error
}

var (
	headPattern  = regexp.MustCompile(`^\[([a-z0-9][a-z0-9-]*) +([0-9]{1,6})\]$`)
	valuePattern = regexp.MustCompile(`^(#?)([A-Za-z_][A-Za-z0-9_.-]*)(#?) *=(.*)$`)
)

func (p *templateParser) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, p.line, fmt.Sprintf(format, args...)))
}

func (p *templateParser) parse(line string) {
	switch {
	case line == "" || line == "#" || strings.HasPrefix(line, "# "):
	case line[0] == '[':
		p.finish()
		p.begin(line)
	case p.now == nil:
		p.fail("%q stands before the first [NAME WEIGHT]", line)
	case line == "case":
		p.now.cases = append(p.now.cases, map[string]string{})
	default:
		p.value(line)
	}
}

func (p *templateParser) begin(line string) {
	m := headPattern.FindStringSubmatch(line)
	if m == nil {
		p.fail("%q is not [NAME WEIGHT]", line)
		m = []string{"", "unnamed", "0"}
	}
	if p.begun == nil {
		p.begun = map[string]int{}
	}
	if first := p.begun[m[1]]; first > 0 {
		p.fail("template %s: a template of this name begins in line %d", m[1], first)
	}
	p.begun[m[1]] = p.line
	weight, _ := strconv.Atoi(m[2])
	p.now = &Template{Name: m[1], Weight: weight, shared: map[string]string{}}
}

// value takes "field = value" or "#MACRO# = value".
func (p *templateParser) value(line string) {
	m := valuePattern.FindStringSubmatch(line)
	if m == nil || m[1] != m[3] {
		p.fail("template %s: %q is neither field = value nor #MACRO# = value", p.now.Name, line)
		return
	}
	name, value := m[2], strings.TrimSpace(m[4])
	if m[1] == "#" {
		p.macro(name, value)
		return
	}
	if _, double := event.Lookup(p.now.Fields, name); double {
		p.fail("template %s: field %s stands twice", p.now.Name, name)
		return
	}
	p.now.Fields = append(p.now.Fields, event.Attr{Name: name, Value: value})
}

func (p *templateParser) macro(name, value string) {
	set := p.now.shared
	if n := len(p.now.cases); n > 0 {
		set = p.now.cases[n-1]
	}
	_, double := set[name]
	_, common := commonMacros[name]
	switch {
	case double:
		p.fail("template %s: macro #%s# stands twice", p.now.Name, name)
	case common:
		p.fail("template %s: macro #%s# is one of table 1 and cannot be set", p.now.Name, name)
	}
	if file, ok := strings.CutPrefix(value, "@"); ok {
		text, err := fs.ReadFile(p.dir, file)
		if err != nil {
			p.fail("template %s: macro #%s#: %v", p.now.Name, name, err)
		}
		value = strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
	}
	set[name] = value
}

// finish checks the template that ends here.
func (p *templateParser) finish() {
	t := p.now
	if t == nil {
		return
	}
	p.now = nil
	line := p.line
	p.line = p.begun[t.Name]
	p.checkFields(t)
	p.checkMacros(t)
	p.line = line
	p.all = append(p.all, *t)
}

// checkFields asks for what SPEC 2 makes mandatory.
func (p *templateParser) checkFields(t *Template) {
	for _, name := range []string{"severity", "device"} {
		if v, _ := event.Lookup(t.Fields, name); v == "" {
			p.fail("template %s: field %s is mandatory", t.Name, name)
		}
	}
}

// checkMacros finds macros that nothing defines and those that nothing uses.
// SPEC 7: an unknown macro is an error of the template.
func (p *templateParser) checkMacros(t *Template) {
	used := map[string]bool{}
	for _, f := range t.Fields {
		for _, name := range macrosIn(f.Value) {
			used[name] = true
			if !t.defines(name) {
				p.fail("template %s: field %s: unknown macro #%s#", t.Name, f.Name, name)
			}
		}
	}
	for _, set := range append([]map[string]string{t.shared}, t.cases...) {
		for _, name := range sortedNames(set) {
			p.checkValue(t, name, set[name])
			if !used[name] {
				p.fail("template %s: macro #%s# is not used", t.Name, name)
			}
		}
	}
}

// checkValue: a macro's value may hold macros of table 1 only.
func (p *templateParser) checkValue(t *Template, name, value string) {
	for _, inner := range macrosIn(value) {
		if _, ok := commonMacros[inner]; !ok {
			p.fail("template %s: macro #%s#: unknown macro #%s#", t.Name, name, inner)
		}
	}
}

// defines tells whether a macro has a value whichever case is picked.
func (t *Template) defines(name string) bool {
	if _, ok := commonMacros[name]; ok {
		return true
	}
	if _, ok := t.shared[name]; ok {
		return true
	}
	for _, set := range t.cases {
		if _, ok := set[name]; !ok {
			return false
		}
	}
	return len(t.cases) > 0
}

func macrosIn(s string) []string {
	var names []string
	for _, m := range macroPattern.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	return names
}

func sortedNames(set map[string]string) []string { return slices.Sorted(maps.Keys(set)) }
