package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// TerminalService is the name of the micro service that takes commands (SPEC 7).
const TerminalService = "terminal"

// Commands is the door for commands by NATS: requests on cmd.<atm>.<NAME>.
type Commands struct {
	ATM, Version string
	Executor     command.Executor
	Log          zerolog.Logger
	// Refused is told of a command that did not come to the Executor: its payload cannot be
	// read, or there is no subject to answer to, or none that answers may go to.
	Refused func(ctx context.Context, m command.Message, a command.Answer)
	// Grace is how long commands that run may take when the door closes; 0 = not at all.
	Grace time.Duration
}

// A Door takes commands by NATS until it is closed.
type Door struct {
	Commands
	nc      *nats.Conn
	service micro.Service
	unknown *nats.Subscription
	ctx     context.Context // of what is executed
	cancel  func()

	mu      sync.Mutex
	closed  bool
	busy    int // requests that are not answered yet
	running sync.WaitGroup
}

// OpenCommands takes commands from now on. The service shows with the stock tools: nats
// micro ls|info|stats terminal.
//
// A reply subject is a right to write (DESIGN fact 12): answers go to inboxes only, whose
// first token begins with "_"; what wants its answer elsewhere is dropped and reported,
// as what wants none.
func OpenCommands(nc *nats.Conn, c Commands) (*Door, error) {
	d := &Door{Commands: c, nc: nc}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if err := d.open(); err != nil {
		d.Close()
		return nil, fmt.Errorf("command service: %w", err)
	}
	return d, nil
}

func (d *Door) open() (err error) {
	d.service, err = micro.AddService(d.nc, micro.Config{Name: TerminalService, Version: semver(d.Version),
		Description: "Commands to terminal " + d.ATM + " (Vestnik)", Metadata: map[string]string{"atm": d.ATM}})
	if err != nil {
		return err
	}
	for _, name := range command.Names {
		kind := "asks"
		if command.Acts(name) {
			kind = "acts"
		}
		e := &endpoint{Door: d}
		err := d.service.AddEndpoint(name, e, micro.WithEndpointSubject(streams.Cmd(d.ATM, name)), micro.WithEndpointMetadata(map[string]string{"kind": kind}))
		if err != nil {
			return err
		}
	}
	// The commands of programs with accounts come by one more.
	as := &endpoint{Door: d}
	if err := d.service.AddEndpoint("FROM_ACCOUNTS", as, micro.WithEndpointSubject(streams.CmdAs(d.ATM)), micro.WithEndpointMetadata(map[string]string{"kind": "any"})); err != nil {
		return err
	}
	// What no endpoint has is answered too: unknown command. The queue has another name
	// than the endpoints', or it would take a share of theirs.
	d.unknown, err = d.nc.QueueSubscribe(streams.CmdAll(d.ATM), "unknown", d.answerUnknown)
	return errors.Join(err, d.nc.Flush())
}

// Run closes the door when ctx ends; it returns nil.
func (d *Door) Run(ctx context.Context) error {
	<-ctx.Done()
	d.Close()
	return nil
}

// Close takes no more commands, and returns when those in flight are answered: after Grace
// they are told to give up.
func (d *Door) Close() {
	if d.service != nil {
		_ = d.service.Stop() // an error: the connection has gone
	}
	if d.unknown != nil {
		_ = d.unknown.Unsubscribe()
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	late := time.AfterFunc(d.Grace, d.cancel)
	defer late.Stop()
	d.running.Wait()
	d.cancel()
}

// mostOpen is how many requests may be open at once, whatever becomes of them: each costs
// memory, and a record of its refusal a write.
const mostOpen = 1024

// run calls f beside, for Close to wait for, or says why not. Behind Close the library
// still hands on what had arrived by then.
func (d *Door) run(f func()) *code.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return &code.Error{Code: code.NotStored, Detail: "the edge stops", Description: "Агент терминала останавливается, команда не выполнена, повторите отправку"}
	case d.busy >= mostOpen:
		return &code.Error{Code: code.Overloaded, Detail: fmt.Sprintf("%d requests at once", d.busy), Description: "Слишком много команд одновременно, повторите отправку позже"}
	}
	d.busy++
	d.running.Go(func() {
		f()
		d.mu.Lock()
		d.busy--
		d.mu.Unlock()
	})
	return nil
}

// unasked is the answer to a request that was not even looked at.
func (d *Door) unasked(in request, why *code.Error) reply {
	if undeliverable(in.reply) != nil {
		return reply{}
	}
	_, asJSON, _ := parsePayload(in.name(), in.data)
	return write(command.Refuse(d.ATM, why), asJSON)
}

// request is what a message on cmd.> asks for.
type request struct {
	subject, reply string
	header         nats.Header
	data           []byte
}

// name is that of the command.
func (r request) name() string { return r.subject[strings.LastIndexByte(r.subject, '.')+1:] }

// endpoint is one command's, or that of all that come from other accounts.
type endpoint struct {
	*Door
	open atomic.Int64 // requests that are not answered yet
}

// inline is how long the callback of an endpoint waits for an answer, if no other
// request of the endpoint waits already. The library's statistics know only what happens
// in the callback; but it is called for one request at a time, and a slow application
// must not hold up the others.
const inline = 100 * time.Millisecond

// Handle is micro.Handler's.
func (e *endpoint) Handle(r micro.Request) {
	in := request{r.Subject(), r.Reply(), nats.Header(r.Headers()), r.Data()}
	answers, gone := make(chan reply), make(chan struct{})
	alone := e.open.Add(1) == 1
	why := e.run(func() {
		a := e.answer(in)
		e.open.Add(-1)
		select {
		case answers <- a:
		case <-gone:
			a.publish(e.nc, in.reply)
		}
	})
	if why != nil {
		e.open.Add(-1)
		e.unasked(in, why).respond(r)
		return
	}
	wait := inline
	if !alone {
		wait = 0
	}
	limit := time.NewTimer(wait)
	defer limit.Stop()
	select {
	case a := <-answers:
		a.respond(r)
	case <-limit.C:
		close(gone)
	}
}

// answerUnknown answers what is no command.
func (d *Door) answerUnknown(m *nats.Msg) {
	in := request{m.Subject, m.Reply, m.Header, m.Data}
	if command.Known(in.name()) {
		return // an endpoint has it
	}
	if why := d.run(func() { d.answer(in).publish(d.nc, in.reply) }); why != nil {
		d.unasked(in, why).publish(d.nc, in.reply)
	}
}

// reply is an answer as it goes over the wire; the zero reply is none.
type reply struct {
	code, text string // of an error of ours, for the micro headers
	data       []byte
}

func (r reply) respond(to micro.Request) {
	switch {
	case r.data == nil:
	case r.code != "":
		_ = to.Error(r.code, r.text, r.data)
	default:
		_ = to.Respond(r.data)
	}
}

func (r reply) publish(nc *nats.Conn, to string) {
	if r.data == nil {
		return
	}
	m := &nats.Msg{Subject: to, Data: r.data}
	if r.code != "" {
		m.Header = nats.Header{micro.ErrorHeader: {r.text}, micro.ErrorCodeHeader: {r.code}}
	}
	_ = nc.PublishMsg(m) // an error: the broker is gone
}

// fitting is the reply, or code 108 where it is longer than a message may be.
func (r reply) fitting(atm string, asJSON bool, most int64) reply {
	if most <= 0 || int64(len(r.data)) <= most {
		return r
	}
	return write(command.Refuse(atm, code.New(code.AnswerTooLong, "")), asJSON)
}

// answer does a request.
func (d *Door) answer(in request) reply {
	cmd, asJSON, bad := parsePayload(in.name(), in.data)
	m := command.Message{Origin: originOf(in), Commands: []command.Command{cmd}}
	m.Resume, _ = time.Parse(time.RFC3339Nano, in.header.Get(streams.HeaderResume)) // zero: absent
	if why := undeliverable(in.reply); why != nil {
		d.Log.Warn().Err(why).Str("subject", in.subject).Str("reply", in.reply).Str("who", m.Origin.Who).Msg("command dropped")
		d.Refused(d.ctx, m, command.Refuse(d.ATM, why))
		return reply{}
	}
	if bad != nil {
		d.Log.Warn().Err(bad).Str("subject", in.subject).Str("who", m.Origin.Who).Msg("command refused")
		a := command.Refuse(d.ATM, bad)
		d.Refused(d.ctx, m, a)
		return write(a, asJSON)
	}
	return write(d.Executor.Execute(d.ctx, m), asJSON).fitting(d.ATM, asJSON, d.nc.MaxPayload()-headroom)
}

// headroom is what the micro headers need of a message.
const headroom = 1 << 10

// undeliverable is why nobody could be told a command's answer, nil if he can be.
func undeliverable(reply string) *code.Error {
	switch {
	case reply == "":
		return &code.Error{Code: code.NotPermitted, Detail: "it wants no answer",
			Description: "Команда отброшена: не указано, куда идёт ответ (reply), отправьте её запросом (request)"}
	case !strings.HasPrefix(reply, "_"):
		return &code.Error{Code: code.NotPermitted, Detail: "its answer would not go to an inbox",
			Description: "Команда отброшена: её ответ пошёл бы не в почтовый ящик (_INBOX…), а в «" + code.Shown(reply) + "», отправьте её запросом (request)"}
	}
	return nil
}

// write makes the wire's form. Errors of ours are told by the micro headers, too, in
// English.
func write(a command.Answer, asJSON bool) (r reply) {
	var err error
	if asJSON {
		r.data, err = proatm.AnswerJSON(a)
	} else {
		r.data = proatm.CommandAnswer(a)
	}
	if c := ownError(a); err != nil || c != code.OK {
		r.code, r.text = strconv.Itoa(int(c)), c.String()
	}
	return r
}

func ownError(a command.Answer) code.Code {
	if a.Code != code.OK && a.Source == command.Agent {
		return a.Code
	}
	for _, r := range a.Results {
		if r.Code != code.OK && r.Source == command.Agent {
			return r.Code
		}
	}
	return code.OK
}

// accountProxima is sink-proxima's in nats.conf as it is shipped.
const accountProxima = "SINK_PROXIMA"

// originOf is who asks: the account, where he has one of his own, which the request's
// subject tells, and what he says of himself. The server's header Nats-Request-Info
// proves nothing: who writes NATS by hand ends a line with LF alone, or the header with an
// empty line, and has his own read in its place.
//
// The way in is a part of what makes a command a repeat (SPEC 7, Once): whoever has an
// account comes by proxima only with that of sink-proxima.
func originOf(in request) command.Origin {
	o := command.Origin{Way: command.WayNATS, Who: code.Shown(in.header.Get(streams.HeaderWho))}
	account := streams.CmdAccount(in.subject)
	switch way := in.header.Get(streams.HeaderWay); {
	case way == command.WayVestnik, way == command.WayProxima && (account == "" || account == accountProxima):
		o.Way = way
	}
	if account != "" {
		o.Who = strings.TrimSuffix(account+": "+o.Who, ": ")
	}
	return o
}
