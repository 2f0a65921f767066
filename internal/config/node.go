package config

import "slices"

// A token is what the parser's checked mode wraps every value in.
type token interface {
	Value() any
	Line() int
	Position() int
	SourceFile() string
	IsUsedVariable() bool
}

// A node is one value of the file and where its key stands (in a list: where
// the value itself stands).
type node struct {
	at       place
	name     string // the key as written; in a list that of the list
	value    any    // string, bool, int64, float64, time.Time, block or list
	variable bool   // another value refers to it as $name
}

// A block is the settings between braces, in the order of the file: what the
// parser's map has lost.
type block []node

// A list is the values between brackets.
type list []node

// tree turns the parser's maps of tokens into nodes.
func tree(m map[string]any, at place) block {
	b := make(block, 0, len(m))
	for name, v := range m {
		b = append(b, newNode(name, v, at))
	}
	slices.SortFunc(b, func(x, y node) int { return x.at.compare(y.at) })
	return b
}

func newNode(name string, v any, parent place) node {
	n := node{at: parent, name: name, value: v}
	if t, ok := v.(token); ok {
		n.at, n.value, n.variable = placeOf(t, parent), t.Value(), t.IsUsedVariable()
	}
	switch v := n.value.(type) {
	case map[string]any:
		n.value = tree(v, n.at)
	case []any:
		items := make(list, len(v))
		for i := range v {
			items[i] = newNode(name, v[i], n.at)
		}
		n.value = items
	}
	return n
}

// placeOf counts columns from 1. The parser counts from the line feed before
// the line, so only the first line is off by one.
func placeOf(t token, parent place) place {
	p := place{t.SourceFile(), t.Line(), t.Position()}
	if p.line == 1 {
		p.col++
	}
	if p.file == "" { // a value from the environment
		return parent
	}
	return p
}

// files lists every file that a value of the block comes from.
func (b block) files() []string {
	var names []string
	for _, n := range b {
		names = append(names, n.at.file)
		if inner, ok := n.value.(block); ok {
			names = append(names, inner.files()...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
