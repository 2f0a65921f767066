package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// A verdict is the answer to a frame.
type verdict struct {
	code   code.Code
	answer []byte // a whole frame
	last   bool   // the connection ends with it
}

// judge decides on a whole frame.
func (s *Server) judge(ctx context.Context, c *conn, sig signature, body []byte) verdict {
	doc, err := proatm.Parse(body, s.limits)
	var e *event.Event
	switch {
	case err != nil:
	case c.overloaded:
		err = code.New(code.Overloaded, "too many connections")
	case !doc.IsEvent():
		return s.command(c, sig, doc)
	case s.paused.Load(): // SPEC 4: --intake answers events with code 7
		err = code.New(code.Paused, "intake is paused")
	default:
		e, err = s.take(ctx, sig, doc, body)
	}
	if err != nil {
		return s.refusal(c, sig.name, e, err)
	}
	s.log.Debug().Str("atm", e.Terminal).Str("event", e.ID).Int("code", 0).Stringer("remote", c.RemoteAddr()).Msg("event stored")
	return verdict{code.OK, sig.done, false}
}

// take records the event, unless the store is full of undelivered ones (SPEC 4: code 6).
func (s *Server) take(ctx context.Context, sig signature, doc proatm.Document, body []byte) (*event.Event, error) {
	if why := s.full.Load(); why != nil {
		return nil, why
	}
	return s.record(ctx, sig, doc, body)
}

// record makes the event and has it recorded.
func (s *Server) record(ctx context.Context, sig signature, doc proatm.Document, body []byte) (*event.Event, error) {
	now := s.opts.Now().Wall
	e := &event.Event{
		ID:        event.NewID(now),
		Terminal:  s.opts.ATM, // SPEC 2: absent, it is the edge's own
		Signature: sig.name,
		Raw:       bytes.Clone(body),
		Attrs:     doc.Attrs,
	}
	e.Severity, _ = e.Attr("severity")
	e.Device, _ = e.Attr("device")
	if atm, ok := e.Attr("atm"); ok { // SPEC 2: another terminal's number is taken as it is
		e.Terminal, _ = proatm.Terminal(atm) // Parse has checked it
	}
	eventtime, _ := e.Attr("eventtime")
	e.Time = event.TimeOf(eventtime, now)
	ctx, cancel := context.WithTimeout(ctx, s.opts.RecordTimeout)
	defer cancel()
	if err := s.rec.Record(ctx, e); err != nil {
		return e, fmt.Errorf("record event: %w", err)
	}
	message, _ := e.Attr("message")
	s.count.taken(now, message == "")
	return e, nil
}

// command answers <monitoring>. Who may not command is told so command by command (SPEC
// 7: code 106), by the Executor, which records that he tried.
func (s *Server) command(c *conn, sig signature, doc proatm.Document) verdict {
	s.count.commands.Add(1)
	if s.opts.Commands == nil {
		return s.refusal(c, sig.name, nil, code.New(code.NoApplication, "nobody takes commands here"))
	}
	m := command.Message{Signature: sig.name, Commands: doc.Commands, Ignored: doc.Ignored, Forbidden: s.forbidden(c.from),
		Origin: command.Origin{Way: command.WayFrame, Who: c.from.Name, Remote: c.RemoteAddr().String()}}
	m.ATM, _ = event.Lookup(doc.Attrs, "atm")
	a := s.opts.Commands.Execute(s.commands, m)
	body := proatm.CommandAnswer(a)
	if len(body) > frame.MaxBody {
		body = proatm.CommandAnswer(command.Refuse(a.ATM, code.New(code.AnswerTooLong, "")))
	}
	return verdict{commanded, s.frame(sig.name, body), false}
}

// forbidden is why commands of an origin are not taken, nil if they are.
func (s *Server) forbidden(from Origin) *code.Error {
	switch {
	case !from.Commands():
		return &code.Error{Code: code.NotPermitted, Detail: "commands only from loopback and over TLS",
			Description: "Команды принимаются только с компьютера терминала или по TLS (terminal.listen_tls)"}
	case from.Way == Loopback && s.opts.NoPlainCommands:
		return &code.Error{Code: code.NotPermitted, Detail: "terminal.commands is off",
			Description: "Команды на этом порту запрещены (terminal.commands: off)"}
	}
	return nil
}

// commanded stands for the code of an Executor's answer: 0 is an event taken.
const commanded code.Code = -1

// refusal turns an error into its answer: the one place where errors of the
// intake become codes.
func (s *Server) refusal(c *conn, name string, e *event.Event, err error) verdict {
	var ce *code.Error
	if !errors.As(err, &ce) || ce.Code == code.OK {
		ce = code.New(code.NotStored, "")
	}
	line := s.bad.Warn().Int("code", int(ce.Code)).Str("signature", name).Stringer("remote", c.RemoteAddr()).Err(err)
	if e != nil {
		line.Str("atm", e.Terminal).Str("event", e.ID)
	}
	line.Msg("message refused")
	return verdict{ce.Code, s.frame(name, proatm.Result(ce.Code, ce.Text())), c.overloaded}
}

// refuse answers a frame that is itself at fault; what follows it cannot be read.
func (c *conn) refuse(h frame.Header, err *code.Error) then {
	v := c.server.refusal(c, h.Name(), nil, err)
	v.last = true
	return c.answer(v)
}

// ignore closes without an answer. SPEC 1: anything but four printable ASCII
// bytes (a TLS hello).
func (c *conn) ignore(h frame.Header) then {
	c.server.bad.Warn().Hex("signature", h.Signature[:]).Stringer("remote", c.RemoteAddr()).Msg("no signature, closed without an answer")
	if c.answered {
		return part // or a reset might cost the answers before
	}
	return hangUp
}

func unknownSignature(h frame.Header) *code.Error {
	return code.New(code.UnknownSignature, fmt.Sprintf("signature %q", h.Name()))
}

func badSize(err error, h frame.Header, limit int) *code.Error {
	e := code.New(code.BadSize, err.Error())
	if errors.Is(err, frame.ErrTooLarge) {
		e.Description = fmt.Sprintf("Размер сообщения %d байт больше допустимого (%d)", h.Size, limit)
	} else {
		e.Description = "Размер сообщения равен 0"
	}
	return e
}

func broken(err error) *code.Error {
	e := code.New(code.BadSize, err.Error())
	if timedOut(err) {
		e.Description = "Сообщение не получено полностью за отведённое время"
	}
	return e
}
