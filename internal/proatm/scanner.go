package proatm

import (
	"fmt"
	"strings"

	"vestnik/internal/event"
)

// Limits of a document. Zero = no limit.
type Limits struct {
	Depth      int // of elements, the root being 1
	Attributes int // of one element
}

type kind uint8

const (
	opened kind = iota // a tag, with its attributes in scanner.attrs
	closed
	blanks // literal white space between tags
	text   // anything else between tags: characters, references, CDATA
	ended  // the document is over and was well-formed
)

// A token is what the scanner finds next.
type token struct {
	kind  kind
	name  string // opened, closed
	at    int    // offset where it begins
	from  int    // blanks, text: offset of its first character, which may be a blank
	empty bool   // opened and closed at once: no closed follows
}

// scanner reads a document from front to back, one token at a time, and
// answers with an error at the first place where it is not well-formed.
// Names and values are parts of src wherever no reference is in them.
type scanner struct {
	src   string
	pos   int
	lim   Limits
	attrs []event.Attr        // of the last opened element
	seen  map[string]struct{} // their names, once they are many
	open  []string            // names of the elements around
	root  bool                // the root has begun
}

// begin checks every character and takes the byte order mark and the declaration.
func (s *scanner) begin() error {
	if at, r := badChar(s.src); at >= 0 {
		why, what := notChar, fmt.Sprintf("U+%04X", r)
		if r == '\uFFFD' {
			why, what = notUTF8, ""
		}
		return s.fail(at, why, what)
	}
	if strings.HasPrefix(s.src, byteOrderMark) { // SPEC 1: a UTF-8 BOM is accepted
		s.pos = len(byteOrderMark)
	}
	if s.atDeclaration() {
		return s.declaration()
	}
	return nil
}

const byteOrderMark = "\uFEFF"

func (s *scanner) at(prefix string) bool { return strings.HasPrefix(s.src[s.pos:], prefix) }

func (s *scanner) next() (token, error) {
	for s.pos < len(s.src) {
		switch at := s.pos; {
		case s.src[at] != '<':
			if t, err := s.text(); err != nil || len(s.open) > 0 {
				return t, err
			}
		case s.at("<!--"):
			if err := s.comment(); err != nil {
				return token{}, err
			}
		case s.at("</"):
			return s.closeTag()
		case s.at("<!"):
			return s.cdata()
		case s.at("<?"):
			return token{}, s.fail(at, s.whichInstruction(), "")
		default:
			return s.openTag()
		}
	}
	return s.end()
}

func (s *scanner) end() (token, error) {
	switch {
	case len(s.open) > 0:
		return token{}, s.fail(s.pos, notClosed, s.open[len(s.open)-1])
	case !s.root:
		return token{}, s.fail(s.pos, noRoot, "")
	}
	return token{kind: ended, at: s.pos}, nil
}

func (s *scanner) whichInstruction() reason {
	if s.atDeclaration() {
		return lateDecl
	}
	return instruction
}

// atDeclaration tells <?xml from <?xml-stylesheet and the like.
func (s *scanner) atDeclaration() bool {
	rest, ok := strings.CutPrefix(s.src[s.pos:], "<?xml")
	return ok && (rest == "" || class[rest[0]]&nameChar == 0)
}

// text takes what stands before the next tag.
func (s *scanner) text() (token, error) {
	t := token{kind: blanks, at: s.pos, from: s.pos}
	for s.pos < len(s.src) && s.src[s.pos] != '<' {
		c := s.src[s.pos]
		switch {
		case class[c]&blank != 0:
			s.pos++
			continue
		case len(s.open) == 0:
			return t, s.fail(s.pos, outsideRoot, "")
		case t.kind == blanks:
			t.kind, t.at = text, s.pos
		}
		switch {
		case c == '&':
			if _, err := s.reference(); err != nil {
				return t, err
			}
		case c == ']' && s.at("]]>"):
			return t, s.fail(s.pos, cdataEnd, "")
		default:
			s.pos++
		}
	}
	return t, nil
}

func (s *scanner) comment() error {
	at, body := s.pos, s.src[s.pos+len("<!--"):]
	n := strings.Index(body, "--")
	switch {
	case n < 0:
		return s.fail(at, openComment, "")
	case !strings.HasPrefix(body[n:], "-->"):
		return s.fail(at+len("<!--")+n, dashComment, "")
	}
	s.pos += len("<!--") + n + len("-->")
	return nil
}

// cdata takes a CDATA section; nothing else that begins with <! is allowed.
func (s *scanner) cdata() (token, error) {
	t := token{kind: text, at: s.pos, from: s.pos}
	switch {
	case s.at("<!DOCTYPE"):
		return t, s.fail(s.pos, documentType, "")
	case !s.at("<![CDATA["):
		return t, s.fail(s.pos, badMarkup, "")
	case len(s.open) == 0:
		return t, s.fail(s.pos, outsideRoot, "")
	}
	n := strings.Index(s.src[s.pos:], "]]>")
	if n < 0 {
		return t, s.fail(s.pos, openCDATA, "")
	}
	s.pos += n + len("]]>")
	return t, nil
}
