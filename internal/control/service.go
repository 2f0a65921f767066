// Package control is how operators reach the programs: the micro service
// `vestnik` with a subject per program and verb, and the pauses, which are kept in
// a bucket so that they hold for programs that are off, too.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"vestnik/streams"
)

// Verbs that a program may know.
const (
	Status = "status"
	Stop   = "stop"
	Reload = "reload"
)

// A Handler does a verb; its value becomes the answer's JSON.
type Handler func(ctx context.Context) (any, error)

// Then is a Handler's value where something is to be done when the request has
// been answered, such as ending the connection.
type Then struct {
	Answer any
	Do     func()
}

// timeout bounds one verb.
const timeout = 5 * time.Second

// Program is what a program offers.
type Program struct {
	Name, Version string
	Verbs         map[string]Handler
	Stop          func() // ends the program, called when the request has been answered; nil = the edge hosts it
}

// Serve offers the verbs of a program on ctl.<program>.<verb>. It returns when ctx
// ends; the verbs are answered until nc closes, which is to be the program's last act.
// The service shows with the stock tools: nats micro ls.
func Serve(ctx context.Context, nc *nats.Conn, p Program) error {
	svc, err := micro.AddService(nc, micro.Config{Name: "vestnik", Version: semver(p.Version), Description: "Vestnik " + p.Name,
		Metadata: map[string]string{"program": p.Name}, QueueGroupDisabled: true})
	if err != nil {
		return fmt.Errorf("control service: %w", err)
	}
	add := func(verb string, h micro.HandlerFunc) error {
		return svc.AddEndpoint(verb, h, micro.WithEndpointSubject(streams.Ctl(p.Name, verb)))
	}
	err = add(Stop, handle(ctx, nc, func(context.Context) (any, error) {
		if p.Stop == nil {
			return nil, errors.New(p.Name + " is hosted by the edge and ends with it")
		}
		return Then{map[string]string{"program": p.Name, "state": "stopping"}, p.Stop}, nil
	}))
	for verb, h := range p.Verbs {
		err = errors.Join(err, add(verb, handle(ctx, nc, h)))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("control service: %w", err), svc.Stop())
	}
	<-ctx.Done()
	return nil // the program answers until its connection closes: it has gone when it is silent
}

var isSemver = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)

// semver makes a version that a micro service may have: a build without a tag
// has none.
func semver(v string) string {
	if v = strings.TrimPrefix(v, "v"); isSemver.MatchString(v) {
		return v
	}
	return "0.0.0-dev"
}

func handle(ctx context.Context, nc *nats.Conn, h Handler) micro.HandlerFunc {
	return func(r micro.Request) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		v, err := h(ctx)
		if err != nil {
			line, _, _ := strings.Cut(err.Error(), "\n")
			_ = r.Error("500", line, []byte(err.Error())) // an error: the requester is gone
			return
		}
		then, more := v.(Then)
		if more {
			v = then.Answer
		}
		_ = r.RespondJSON(v)
		if more {
			_ = nc.Flush() // the answer leaves before the connection does
			then.Do()
		}
	}
}

// Refused is a program's own error, its text as it was: with all its lines.
type Refused struct{ Program, Verb, Text string }

func (e *Refused) Error() string { return e.Program + " " + e.Verb + ": " + e.Text }

// ErrNotRunning: nobody answers for the program.
var ErrNotRunning = errors.New("not running")

// Call asks a program for a verb and reads its answer into v (may be nil).
func Call(ctx context.Context, nc *nats.Conn, program, verb string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, streams.Ctl(program, verb), nil)
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%s: %w", program, ErrNotRunning)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", program, verb, err)
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return &Refused{program, verb, cmp.Or(string(m.Data), text)}
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(m.Data, v); err != nil {
		return fmt.Errorf("%s %s: answer: %w", program, verb, err)
	}
	return nil
}
