package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// An element of the file; offsets are in the decoded text.
type element struct {
	name     string
	at       int // of its <
	attrs    []attribute
	children []*element
	text     []int // where text or CDATA begins directly inside it
	closed   bool
}

type attribute struct {
	name, value string
	at          int // of its name
}

// A scanner is a strict reader of XML 1.0 (fifth edition) without DTDs.
// encoding/xml lets pass duplicate attributes, second roots and junk around
// the root, and tells no columns of attributes (DESIGN 2, fact 9).
type scanner struct {
	text  string
	i     int
	found *problems
	root  *element
	open  []*element
}

// A broken is where the syntax breaks: nothing can be read behind it.
type broken struct {
	at     int
	reason string
}

func (b *broken) Error() string { return b.reason }

func breaks(at int, format string, args ...any) error {
	return &broken{at, fmt.Sprintf(format, args...)}
}

// scan gives the root element, nil if there is none. Elements that are open
// where the syntax breaks are not closed.
func scan(src source, found *problems) *element {
	s := &scanner{text: src.text, found: found}
	if at := strings.IndexFunc(src.text, func(r rune) bool { return !isChar(r) }); at >= 0 {
		r, _ := utf8.DecodeRuneInString(src.text[at:])
		found.add(at, "character %U, which XML does not allow", r)
	}
	if err := s.document(); err != nil {
		b, _ := errors.AsType[*broken](err) // document knows no other
		found.add(b.at, "%s", b.reason)
	}
	return s.root
}

func (s *scanner) document() error {
	if err := s.declaration(); err != nil {
		return err
	}
	for s.i < len(s.text) {
		if err := s.next(); err != nil {
			return err
		}
	}
	if n := len(s.open); n > 0 {
		return breaks(s.open[n-1].at, "<%s> is not closed", s.open[n-1].name)
	}
	if s.root == nil {
		return breaks(0, "there is no <rules>")
	}
	return nil
}

const (
	blanks  = `[ \t\r\n]`
	equals  = blanks + `*=` + blanks + `*`
	version = blanks + `+version` + equals + `(?:'1\.0'|"1\.0")`
	encName = `[A-Za-z][A-Za-z0-9._-]*`
	encDecl = `(?:` + blanks + `+encoding` + equals + `(?:'` + encName + `'|"` + encName + `"))?`
	alone   = `(?:` + blanks + `+standalone` + equals + `(?:'yes'|"yes"|'no'|"no"))?`
)

var declaration = regexp.MustCompile(`^<\?xml` + version + encDecl + alone + blanks + `*\?>`)

// declaration skips the XML declaration, if there is one.
func (s *scanner) declaration() error {
	rest, ok := strings.CutPrefix(s.text, "<?xml")
	if !ok || rest != "" && !isBlank(rest[0]) {
		return nil
	}
	s.i = len(declaration.FindString(s.text))
	if s.i == 0 {
		return breaks(0, "the XML declaration is not of the form <?xml version='1.0' encoding='…'?>")
	}
	return nil
}

// next reads one piece of markup or text.
func (s *scanner) next() error {
	rest := s.text[s.i:]
	switch {
	case rest[0] != '<':
		s.chars()
		return nil
	case strings.HasPrefix(rest, "<!--"):
		return s.comment()
	case strings.HasPrefix(rest, "<![CDATA["):
		return s.cdata()
	case strings.HasPrefix(rest, "<!"):
		return breaks(s.i, "a DTD or other <! declaration is not allowed")
	case strings.HasPrefix(rest, "<?"):
		return s.instruction()
	case strings.HasPrefix(rest, "</"):
		return s.endTag()
	}
	return s.startTag()
}

// chars reads up to the next markup; where text may stand, the checker says.
func (s *scanner) chars() {
	end := strings.IndexByte(s.text[s.i:], '<')
	if end < 0 {
		end = len(s.text) - s.i
	}
	text := s.text[s.i : s.i+end]
	if lead := len(text) - len(strings.TrimLeft(text, " \t\r\n")); lead < len(text) {
		s.content(s.i + lead)
	}
	s.i += end
}

func (s *scanner) content(at int) {
	if n := len(s.open); n > 0 {
		s.open[n-1].text = append(s.open[n-1].text, at)
		return
	}
	s.found.add(at, "text outside the root element")
}

func (s *scanner) comment() error {
	end := strings.Index(s.text[s.i+4:], "--")
	if end < 0 {
		return breaks(s.i, "the comment has no end")
	}
	end += s.i + 4
	if !strings.HasPrefix(s.text[end:], "-->") {
		return breaks(end, "-- inside a comment")
	}
	s.i = end + 3
	return nil
}

func (s *scanner) cdata() error {
	end := strings.Index(s.text[s.i:], "]]>")
	if end < 0 {
		return breaks(s.i, "the CDATA section has no end")
	}
	s.content(s.i)
	s.i += end + 3
	return nil
}

// instruction skips a processing instruction: like a comment, it is not ours.
func (s *scanner) instruction() error {
	at := s.i
	s.i += 2
	target := s.name()
	end := strings.Index(s.text[s.i:], "?>")
	switch {
	case target == "":
		return breaks(at, "a processing instruction without a name")
	case strings.EqualFold(target, "xml"):
		return breaks(at, "an XML declaration stands at the very beginning of the file or nowhere")
	case end < 0 || end > 0 && !isBlank(s.text[s.i]):
		return breaks(at, "the processing instruction <?%s is not well-formed", target)
	}
	s.i += end + 2
	return nil
}
