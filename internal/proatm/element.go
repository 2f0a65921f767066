package proatm

import (
	"errors"
	"slices"
	"strings"

	"vestnik/internal/event"
)

// An element with all that is in it and its bytes.
type element struct {
	name     string
	attrs    []event.Attr
	children []*element
	text     string // the characters directly inside, one after the other
	xml      string
}

// parseElement reads a document, which is a single element.
func parseElement(src string) (*element, error) {
	s := scanner{src: src}
	if err := s.begin(); err != nil {
		return nil, err
	}
	root := &element{}
	around, begun := []*element{root}, []int{0}
	for {
		t, err := s.next()
		if err != nil {
			return nil, err
		}
		last := around[len(around)-1]
		switch t.kind {
		case ended:
			return root.children[0], nil
		case blanks, text:
			chars, err := characters(src[t.from:s.pos])
			if err != nil {
				return nil, err
			}
			last.text += chars
		case opened:
			e := &element{name: t.name, attrs: slices.Clone(s.attrs)}
			last.children = append(last.children, e)
			around, begun = append(around, e), append(begun, t.at)
		}
		if t.kind == closed || t.empty {
			n := len(around) - 1
			around[n].xml = src[begun[n]:s.pos]
			around, begun = around[:n], begun[:n]
		}
	}
}

// characters gives a piece of text or a CDATA section as XML 1.0 defines its
// characters: references resolved, a line end one character (2.11).
func characters(raw string) (string, error) {
	if inner, ok := strings.CutPrefix(raw, "<![CDATA["); ok {
		return lineEnds.Replace(strings.TrimSuffix(inner, "]]>")), nil
	}
	var b strings.Builder
	s := scanner{src: lineEnds.Replace(raw)}
	for s.pos < len(s.src) {
		n := strings.IndexByte(s.src[s.pos:], '&')
		if n < 0 {
			n = len(s.src) - s.pos
		}
		b.WriteString(s.src[s.pos : s.pos+n])
		if s.pos += n; s.pos == len(s.src) {
			break
		}
		r, err := s.reference()
		if err != nil {
			return "", errors.New("a reference that is none")
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// attr is the value of an attribute, nil if it is not there.
func (e *element) attr(name string) *string {
	if v, ok := event.Lookup(e.attrs, name); ok {
		return &v
	}
	return nil
}

// only tells whether the element has no attributes but these.
func (e *element) only(names ...string) bool {
	return !slices.ContainsFunc(e.attrs, func(a event.Attr) bool { return !slices.Contains(names, a.Name) })
}

// bare tells whether no text stands between the element's children.
func (e *element) bare() bool { return trim(e.text) == "" }

// leaf tells whether the element is nothing but its text.
func (e *element) leaf() bool { return len(e.children) == 0 && len(e.attrs) == 0 }
