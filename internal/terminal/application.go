package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// ApplicationOptions say where the terminal application takes commands.
type ApplicationOptions struct {
	Addr           string // terminal.application; "" = code 104
	ATM            string // 8 digits
	Signature      string // MSG_SIGNATURE: of messages that came without one
	Order          frame.Order
	ConnectTimeout time.Duration // SPEC 7: 5 s
	AnswerTimeout  time.Duration // SPEC 7: 30 s, for sending and the answer together
	Log            zerolog.Logger
}

// Application hands commands to the terminal application: the Executor that the others
// stand before. A message has a connection of its own (SPEC 7).
type Application struct{ opts ApplicationOptions }

// NewApplication connects to nothing yet.
func NewApplication(o ApplicationOptions) *Application {
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.AnswerTimeout = cmp.Or(o.AnswerTimeout, 30*time.Second)
	return &Application{o}
}

// Execute is command.Executor's. The answer's code says how far the commands came: 104,
// 2 and 6 (ctx has ended), they were not sent; 105, 107 and 109 (ctx has ended), they may
// have been executed.
func (a *Application) Execute(ctx context.Context, m command.Message) command.Answer {
	answer, err := a.ask(ctx, m)
	if err == nil {
		return answer
	}
	a.opts.Log.Warn().Int("code", int(err.Code)).Err(err).Str("application", a.opts.Addr).Msg("no answer from the terminal application")
	return command.Refuse(a.opts.ATM, err)
}

func (a *Application) ask(ctx context.Context, m command.Message) (command.Answer, *code.Error) {
	signature := cmp.Or(m.Signature, a.opts.Signature)
	request, err := frame.Append(nil, a.opts.Order, signature, proatm.Monitoring(a.opts.ATM, m.Commands))
	if err != nil {
		return command.Answer{}, &code.Error{Code: code.BadSize, Detail: err.Error(), Description: "Команды не помещаются в одно сообщение, отправьте их по частям"}
	}
	conn, bad := a.connect(ctx)
	if bad != nil {
		return command.Answer{}, bad
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(a.opts.AnswerTimeout))
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	body, err := exchange(conn, a.opts.Order, signature, request)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return command.Answer{}, code.New(code.OutcomeUnknown, "the edge stops while the command runs")
	case timedOut(err):
		return command.Answer{}, &code.Error{Code: code.ApplicationSlow, Detail: err.Error(),
			Description: fmt.Sprintf("Терминальное ПО не ответило за %s; команда могла быть выполнена", a.opts.AnswerTimeout)}
	default:
		return command.Answer{}, badAnswer(err)
	}
	return a.read(body, m.Commands)
}

func (a *Application) connect(ctx context.Context) (net.Conn, *code.Error) {
	if a.opts.Addr == "" {
		return nil, &code.Error{Code: code.NoApplication, Detail: "terminal.application is not set",
			Description: "Адрес терминального ПО не задан (terminal.application)"}
	}
	d := net.Dialer{Timeout: a.opts.ConnectTimeout, KeepAlive: -1}
	conn, err := d.DialContext(ctx, "tcp", a.opts.Addr)
	if err != nil && ctx.Err() != nil {
		return nil, &code.Error{Code: code.NotStored, Detail: "the edge stops", Description: "Агент терминала останавливается, команда не отправлена, повторите её"}
	}
	if err != nil {
		return nil, &code.Error{Code: code.NoApplication, Detail: err.Error(),
			Description: "Нет связи с терминальным ПО по адресу " + a.opts.Addr + ": запущено ли оно? Команда не отправлена"}
	}
	return conn, nil
}

// exchange sends a frame and reads the answer, whose signature is the same (SPEC 1).
func exchange(conn net.Conn, order frame.Order, signature string, request []byte) ([]byte, error) {
	_, writeErr := conn.Write(request)
	h, body, err := frame.Read(conn, order, frame.MaxBody) // also after a failed write: the answer may be there
	switch {
	case err != nil && writeErr != nil:
		return nil, fmt.Errorf("send: %w", writeErr)
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case h.Name() != signature:
		return nil, &code.Error{Code: code.BadAnswer, Detail: fmt.Sprintf("the answer has signature %q, not %q", h.Name(), signature),
			Description: fmt.Sprintf("сигнатура ответа «%s», а не «%s»", code.Shown(h.Name()), signature)}
	}
	return body, nil
}

// read takes an answer. An application that refuses the message as a whole is passed on
// with its own words.
func (a *Application) read(body []byte, commands []command.Command) (command.Answer, *code.Error) {
	answer, err := proatm.ParseCommandAnswer(body)
	if err != nil {
		return command.Answer{}, badAnswer(err)
	}
	answer.ATM = a.opts.ATM
	answer.Head = complete(answer.Head)
	if answer.Code != code.OK {
		answer.Results = nil
		return answer, nil
	}
	if err := command.Match(commands, answer.Results); err != nil {
		return command.Answer{}, badAnswer(err)
	}
	return answer, nil
}

// complete fills in what SPEC 1 wants in every <result>.
func complete(h command.Head) command.Head {
	h.Status = cmp.Or(h.Status, h.Code.Status())
	h.Source = cmp.Or(h.Source, "ProATM")
	h.Description = cmp.Or(h.Description, h.Code.Description())
	return h
}

// badAnswer is code 107, which says what is wrong with the answer.
func badAnswer(err error) *code.Error {
	const perhaps = "; команда могла быть выполнена"
	bad := &code.Error{Code: code.BadAnswer, Detail: err.Error()}
	var why *code.Error
	var broken *net.OpError
	switch {
	case errors.As(err, &why):
		bad.Detail = why.Detail
		bad.Description = "Неверный ответ терминального ПО" + perhaps + ": " + why.Text()
	case errors.Is(err, io.EOF):
		bad.Description = "Терминальное ПО закрыло соединение без ответа" + perhaps
	case errors.Is(err, frame.ErrTruncated):
		bad.Description = "Терминальное ПО закрыло соединение, не закончив ответ" + perhaps
	case errors.Is(err, frame.ErrEmpty):
		bad.Description = "Неверный ответ терминального ПО" + perhaps + ": размер ответа равен 0"
	case errors.As(err, &broken):
		bad.Description = "Терминальное ПО оборвало соединение без ответа" + perhaps
	default:
		bad.Description = "Неверный ответ терминального ПО" + perhaps
	}
	return bad
}
