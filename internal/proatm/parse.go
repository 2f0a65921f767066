package proatm

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
)

// The root elements that a terminal may send (SPEC 1).
const (
	rootEvent      = "event"
	rootMonitoring = "monitoring"
)

// Document is what a terminal sent: an <event>, or <monitoring> with commands.
type Document struct {
	Root  string       // event or monitoring
	Attrs []event.Attr // of the root, in order

	Commands []command.Command // of <monitoring>
	Ignored  string            // in <monitoring>: the first element that the manual does not know, "" = none
}

// IsEvent tells an event from commands.
func (d Document) IsEvent() bool { return d.Root == rootEvent }

// Parse reads a message of a terminal. It keeps nothing of body. The error is
// a *code.Error: 3 not well-formed, else 4 unknown root, else 5 an attribute
// that must be there. A document that is not well-formed is code 3 whatever
// its root is.
func Parse(body []byte, lim Limits) (Document, error) {
	d, err := read(string(body), lim)
	if err != nil {
		return Document{}, err
	}
	switch d.Root {
	case rootEvent:
		if err := checkEvent(d.Attrs); err != nil {
			return Document{}, err
		}
	case rootMonitoring:
		if err := checkMonitoring(d); err != nil {
			return Document{}, err
		}
	default:
		return Document{}, &code.Error{
			Code:        code.UnknownRoot,
			Detail:      fmt.Sprintf("root element %q", cut(d.Root)),
			Description: "Неизвестный корневой элемент сообщения «" + shown(d.Root) + "»",
		}
	}
	return d, nil
}

// Attributes reads the attributes of an event that was accepted before, in
// order. It keeps nothing of raw.
func Attributes(raw []byte) ([]event.Attr, error) {
	d, err := read(string(raw), Limits{})
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	if !d.IsEvent() {
		return nil, fmt.Errorf("read attributes: root element is %q, not event", cut(d.Root))
	}
	return d.Attrs, nil
}

// read takes a whole document and checks what holds for every root.
func read(src string, lim Limits) (Document, error) {
	s := scanner{src: src, lim: lim}
	if err := s.begin(); err != nil {
		return Document{}, err
	}
	t, err := s.next()
	if err != nil {
		return Document{}, err
	}
	d := Document{Root: t.name, Attrs: s.attrs} // the first token outside is the root, or an error
	s.attrs = nil
	var r reading
	var wrong error // told if there is nothing worse
	for t.kind != ended && err == nil {
		if t, err = s.next(); err != nil {
			break
		}
		switch d.Root {
		case rootEvent:
			err = s.insideEvent(t)
		case rootMonitoring:
			wrong = cmp.Or(wrong, s.insideMonitoring(&r, t))
		}
	}
	if err = cmp.Or(err, wrong); err != nil {
		return Document{}, err
	}
	d.Commands, d.Ignored = r.commands, r.ignored
	return d, nil
}

// insideEvent refuses what may not stand between <event> and </event>.
// SPEC 2: <event> has no children; SPEC 1: text inside is code 3.
func (s *scanner) insideEvent(t token) error {
	switch t.kind {
	case opened:
		return s.fail(t.at, childOfEvent, t.name)
	case text:
		return s.fail(t.at, textInEvent, "")
	}
	return nil
}

// checkEvent finds what code 5 is for.
func checkEvent(attrs []event.Attr) error {
	for _, name := range [...]string{"severity", "device"} {
		if v, _ := event.Lookup(attrs, name); strings.TrimSpace(v) == "" { // SPEC 2: empty or blank counts as missing
			return &code.Error{
				Code:        code.MissingAttribute,
				Detail:      "attribute " + name + " is missing or blank",
				Description: "Отсутствует обязательный атрибут " + name,
			}
		}
	}
	if atm, ok := event.Lookup(attrs, "atm"); ok && !IsNumber(atm) {
		return &code.Error{
			Code:        code.MissingAttribute,
			Detail:      fmt.Sprintf("atm %q is not 1 to 8 digits", cut(atm)),
			Description: "Атрибут atm должен состоять из 1–8 цифр",
		}
	}
	return nil
}

// IsNumber tells whether atm can be a terminal's number: 1 to 8 digits (SPEC 2).
func IsNumber(atm string) bool {
	for i := range len(atm) {
		if atm[i] < '0' || atm[i] > '9' {
			return false
		}
	}
	return atm != "" && len(atm) <= 8
}

// Terminal is a terminal's number with its 8 digits: 40 is 00000040.
func Terminal(atm string) (string, error) {
	if !IsNumber(atm) {
		return "", errors.New("a terminal's number has 1 to 8 digits")
	}
	return "00000000"[len(atm):] + atm, nil
}
