package proatm

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// Source is how we call ourselves in answers (SPEC 1: for us, agent).
const Source = "agent"

// maxDescription keeps an answer well within a frame.
const maxDescription = 2048

var tableResults = func() map[code.Code][]byte {
	m := make(map[code.Code][]byte, len(code.Table))
	for _, e := range code.Table {
		m[e.Code] = appendResult(nil, e.Code, e.Description)
	}
	return m
}()

// Result is the answer to a message (SPEC 1). A blank description means the
// table's. The caller must not change the bytes: the common ones are shared.
func Result(c code.Code, description string) []byte {
	if blank := strings.TrimSpace(description) == ""; blank || description == c.Description() {
		if b, ok := tableResults[c]; ok {
			return b
		}
		description = c.Description()
	}
	return appendResult(nil, c, description)
}

func appendResult(b []byte, c code.Code, description string) []byte {
	if len(description) > maxDescription {
		n := maxDescription
		for n > 0 && !utf8.RuneStart(description[n]) {
			n--
		}
		description = description[:n]
	}
	b = append(b, declaration+"<monitoring><result"...)
	b = appendAttr(b, "code", strconv.Itoa(int(c)))
	b = appendAttr(b, "status", c.Status())
	b = appendAttr(b, "source", Source)
	b = appendAttr(b, "description", description)
	b = append(b, "/></monitoring>"...)
	return b[:len(b):len(b)]
}

// Answer is the <result> of an answer.
type Answer struct {
	Code                        int
	Status, Source, Description string
}

// ParseResult reads the <result> of an answer; what else the answer holds is
// only checked to be well-formed.
func ParseResult(body []byte) (Answer, error) {
	attrs, err := resultAttrs(string(body))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	value := func(name string) string { v, _ := event.Lookup(attrs, name); return v }
	n, err := strconv.Atoi(value("code"))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: code %q is no number", cut(value("code")))
	}
	return Answer{n, value("status"), value("source"), value("description")}, nil
}

// resultAttrs finds the attributes of the one <monitoring><result>.
func resultAttrs(src string) (attrs []event.Attr, err error) {
	s := scanner{src: src}
	if err := s.begin(); err != nil {
		return nil, err
	}
	found := 0
	for {
		depth := len(s.open)
		t, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case t.kind == opened && depth == 0 && t.name != rootMonitoring:
			return nil, fmt.Errorf("root element is %q, not monitoring", cut(t.name))
		case t.kind == opened && depth == 1 && t.name == "result":
			found++
			attrs, s.attrs = s.attrs, nil
		case t.kind == ended && found != 1:
			return nil, fmt.Errorf("%d elements <result>, not one", found)
		case t.kind == ended:
			return attrs, nil
		}
	}
}
