package proatm

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
)

// reading collects the commands of <monitoring>.
type reading struct {
	commands []command.Command
	ignored  string // the first element that means nothing
}

const (
	elementCommand       = "command"
	elementParam         = "param"
	elementResult        = "result"
	elementCommandResult = "command_result"
)

// insideMonitoring takes a token between <monitoring> and </monitoring>: <command>, and
// in it <param>. Elements and attributes that the manual does not know, and text, mean
// nothing and are not passed on; its own in a wrong place are code 3 (SPEC 1: an element
// where none may be).
func (s *scanner) insideMonitoring(r *reading, t token) error {
	if t.kind != opened {
		return nil
	}
	value := func(name string) string { v, _ := event.Lookup(s.attrs, name); return v }
	around := s.open
	if !t.empty {
		around = s.open[:len(s.open)-1]
	}
	switch t.name {
	case elementCommand:
		if len(around) != 1 {
			return s.fail(t.at, misplaced, t.name)
		}
		// SPEC 7: names are trimmed (the manual's examples carry blanks).
		r.commands = append(r.commands, command.Command{ID: value("id"), Name: strings.TrimSpace(value("name"))})
	case elementParam:
		if len(around) != 2 || around[1] != elementCommand {
			return s.fail(t.at, misplaced, t.name)
		}
		c := &r.commands[len(r.commands)-1]
		c.Params = append(c.Params, command.Param{Name: value("name"), Value: value("value")})
	case rootEvent, rootMonitoring, elementResult, elementCommandResult:
		return s.fail(t.at, misplaced, t.name)
	default:
		r.ignored = cmp.Or(r.ignored, t.name)
	}
	return nil
}

// checkMonitoring finds what code 5 is for.
func checkMonitoring(d Document) error {
	if atm, ok := event.Lookup(d.Attrs, "atm"); ok && !IsNumber(atm) {
		return &code.Error{
			Code:        code.MissingAttribute,
			Detail:      fmt.Sprintf("atm %q is not 1 to 8 digits", cut(atm)),
			Description: "Атрибут atm должен состоять из 1–8 цифр",
		}
	}
	for i, c := range d.Commands {
		if c.Name == "" {
			return &code.Error{
				Code:        code.MissingAttribute,
				Detail:      fmt.Sprintf("command %d has no name", i+1),
				Description: fmt.Sprintf("У команды %d нет атрибута name", i+1),
			}
		}
	}
	return nil
}

// ParseCommand reads a single <command>, as it may come without <monitoring> around
// it. The error is a *code.Error, as Parse's.
func ParseCommand(body []byte, lim Limits) (command.Command, error) {
	src := string(body)
	s := scanner{src: src, lim: lim}
	if err := s.begin(); err != nil {
		return command.Command{}, err
	}
	s.open, s.root = append(s.open, rootMonitoring), true // as if it stood inside
	var r reading
	for len(r.commands) == 0 || len(s.open) > 1 || strings.TrimSpace(src[s.pos:]) != "" {
		t, err := s.next()
		if err == nil {
			err = s.insideMonitoring(&r, t)
		}
		if err != nil {
			return command.Command{}, err
		}
		if len(r.commands) > 1 || len(s.open) == 0 || t.kind == text && len(s.open) == 1 {
			return command.Command{}, s.fail(t.at, secondRoot, "")
		}
	}
	if err := checkMonitoring(Document{Commands: r.commands}); err != nil {
		return command.Command{}, err
	}
	return r.commands[0], nil
}

// Monitoring writes the message that asks for commands (manual, «Вид команды»). atm
// may be empty.
func Monitoring(atm string, commands []command.Command) []byte {
	b := append(make([]byte, 0, 128+96*len(commands)), declaration+"<monitoring"...)
	if atm != "" {
		b = appendAttr(b, "atm", atm)
	}
	b = append(b, '>')
	for _, c := range commands {
		b = appendCommand(b, c)
	}
	return append(b, "</monitoring>"...)
}

func appendCommand(b []byte, c command.Command) []byte {
	b = append(b, "<command"...)
	if c.ID != "" {
		b = appendAttr(b, "id", c.ID)
	}
	b = appendAttr(b, "name", c.Name)
	if len(c.Params) == 0 {
		return append(b, "/>"...)
	}
	b = append(b, '>')
	for _, p := range c.Params {
		b = append(b, "<param"...)
		if p.Name != "" {
			b = appendAttr(b, "name", p.Name)
		}
		b = append(appendAttr(b, "value", p.Value), "/>"...)
	}
	return append(b, "</command>"...)
}

// Command writes a single <command>.
func Command(c command.Command) []byte { return appendCommand(nil, c) }

// CommandAnswer writes an answer: the application's results stand in it byte for byte.
func CommandAnswer(a command.Answer) []byte {
	b := append(make([]byte, 0, 512), declaration+"<monitoring"...)
	if a.ATM != "" {
		b = appendAttr(b, "atm", a.ATM)
	}
	b = append(b, "><result"...)
	b = append(appendHead(b, a.Head), "/>"...)
	for _, r := range a.Results {
		if r.XML != nil {
			b = append(b, r.XML...)
			continue
		}
		b = appendHead(append(b, "<command_result"...), r.Head)
		b = appendAttr(b, "id", r.ID)
		if r.Param != nil {
			b = appendAttr(b, "param", *r.Param)
		}
		b = append(b, "/>"...)
	}
	return append(b, "</monitoring>"...)
}

func appendHead(b []byte, h command.Head) []byte {
	b = appendAttr(b, "code", strconv.Itoa(int(h.Code)))
	b = appendAttr(b, "status", h.Status)
	b = appendAttr(b, "source", h.Source)
	return appendAttr(b, "description", h.Description)
}

// ParseCommandAnswer reads an answer to commands: one <result>, and the
// command_results with their bytes. What stands inside those is only checked to be
// well-formed; see Details. It keeps nothing of body. The error holds a *code.Error: 3 not
// well-formed, else 107.
func ParseCommandAnswer(body []byte) (command.Answer, error) {
	a, err := readAnswer(string(body))
	if err != nil {
		return command.Answer{}, fmt.Errorf("read answer: %w", err)
	}
	return a, nil
}

func readAnswer(src string) (a command.Answer, err error) {
	s := scanner{src: src}
	if err := s.begin(); err != nil {
		return a, err
	}
	results, begun := 0, -1
	for {
		depth := len(s.open)
		t, err := s.next()
		if err != nil {
			return a, err
		}
		switch {
		case t.kind == ended:
			return a, oneResult(results)
		case t.kind != opened || depth > 1:
		case depth == 0 && t.name == rootMonitoring:
			a.ATM, _ = event.Lookup(s.attrs, "atm")
		case depth == 0:
			return a, badAnswer("root element is %q, not monitoring", "корневой элемент «%s», а не monitoring", t.name)
		case t.name == elementResult:
			results++
			if a.Head, err = head(t.name, s.attrs); err != nil {
				return a, err
			}
		case t.name == elementCommandResult:
			r, err := result(s.attrs)
			if err != nil {
				return a, err
			}
			a.Results, begun = append(a.Results, r), t.at
		default:
			return a, badAnswer("unknown element %q", "неизвестный элемент «%s» рядом с command_result", t.name)
		}
		if begun >= 0 && len(s.open) == 1 { // the command_result is over
			a.Results[len(a.Results)-1].XML = []byte(src[begun:s.pos])
			begun = -1
		}
	}
}

// badAnswer is code 107. The formats take what is wrong in the answer.
func badAnswer(en, ru, what string) *code.Error {
	return &code.Error{Code: code.BadAnswer, Detail: fmt.Sprintf(en, cut(what)), Description: fmt.Sprintf(ru, shown(what))}
}

func oneResult(n int) error {
	switch n {
	case 0:
		return &code.Error{Code: code.BadAnswer, Detail: "no element <result>", Description: "в ответе нет элемента result"}
	case 1:
		return nil
	}
	return &code.Error{Code: code.BadAnswer, Detail: fmt.Sprintf("%d elements <result>, not one", n),
		Description: fmt.Sprintf("элементов result в ответе %d, а не один", n)}
}

func head(element string, attrs []event.Attr) (command.Head, error) {
	value := func(name string) string { v, _ := event.Lookup(attrs, name); return v }
	if _, ok := event.Lookup(attrs, "code"); !ok {
		return command.Head{}, badAnswer("%s has no code", "у элемента %s нет атрибута code", element)
	}
	n, err := strconv.Atoi(value("code"))
	if err != nil {
		return command.Head{}, badAnswer(element+": code %q is no number", "у элемента "+element+" код «%s» – не число", value("code"))
	}
	return command.Head{Code: code.Code(n), Status: value("status"), Source: value("source"), Description: value("description")}, nil
}

func result(attrs []event.Attr) (r command.Result, err error) {
	if r.Head, err = head(elementCommandResult, attrs); err != nil {
		return r, err
	}
	id, ok := event.Lookup(attrs, "id")
	if !ok {
		return r, badAnswer("a %s without an id", "у элемента %s нет атрибута id", elementCommandResult)
	}
	r.ID = id
	if p, ok := event.Lookup(attrs, "param"); ok {
		r.Param = &p
	}
	return r, nil
}
