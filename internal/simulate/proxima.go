package simulate

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"time"
	"unicode/utf8"

	"vestnik/internal/event"
)

// The forms in which ПроКСИМА takes events (SPEC 6).
const (
	FormStructured = "structured" // a CloudEvent, its data a JSON object of the attributes
	FormPlain      = "plain"      // just that object
	FormBatch      = "batch"      // several CloudEvents released together
)

// Proxima simulates the monitoring system ПроКСИМА (SPEC 6; the OpenAPI file in
// package schema): events come as HTTP POST. GET on CommandsPath polls for the commands
// that Order queued, POST there gives a result of one. The OpenAPI file is served at
// /openapi.json, and the schema that it refers to beside it. Every other path is for
// events. Change changes the behaviour to events, polls and posted results alike;
// ChangePolls and ChangePosts one of them.
type Proxima struct {
	*Monitor
	opt          ProximaOptions
	orders       *orders   // guarded by Monitor.mu
	polls, posts Behaviour // guarded by Monitor.mu
	onResult     func(CommandResult)
}

// ProximaOptions say how Proxima is set up. The zero value is usable.
type ProximaOptions struct {
	MonitorOptions
	Format       string        // FormStructured (batches are taken too) or FormPlain; "" = whatever comes
	CommandsPath string        // default /commands
	PollWait     time.Duration // how long a poll for commands waits for one
}

// NewProxima makes one that listens nowhere yet: use it as a http.Handler, or Serve.
func NewProxima(o ProximaOptions) *Proxima {
	setDefault(&o.CommandsPath, "/commands")
	m := newMonitor("proxima", o.MonitorOptions)
	p := &Proxima{Monitor: m, opt: o, orders: newOrders(o.Keep, &m.book.counts.Commands)}
	m.also = []*Behaviour{&p.polls, &p.posts}
	m.success = func(status int) bool { return status >= 200 && status <= 299 } // SPEC 6
	m.read = p.readEvents
	m.handler = p
	return p
}

// ServeHTTP takes events, polls and results.
func (p *Proxima) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == p.opt.CommandsPath:
		p.serveCommands(w, r)
	case !serveFile(w, r):
		p.Monitor.ServeHTTP(w, r)
	}
}

// readEvents reads the events of a request.
func (p *Proxima) readEvents(r *http.Request, body []byte) ([]Arrival, *problem) {
	if r.Method != http.MethodPost {
		return nil, &problem{http.StatusMethodNotAllowed, "method " + r.Method + ", want POST"}
	}
	form, bad := p.form(r.Header.Get("Content-Type"))
	switch {
	case bad != nil:
		return nil, bad
	case !utf8.Valid(body):
		return nil, badRequest("the body is not UTF-8")
	case form == FormBatch:
		return readBatch(body)
	case form == FormPlain:
		return readPlain(body, r.Header)
	}
	a, bad := readStructured(body)
	if id := r.Header.Get("Ce-Id"); bad == nil && id != "" && id != a.ID {
		bad = badRequest("header Ce-Id %q is not the event's id %q", id, a.ID)
	}
	return []Arrival{a}, bad
}

// form tells the form by the content type, and whether it is taken.
func (p *Proxima) form(contentType string) (string, *problem) {
	media, params, err := mime.ParseMediaType(contentType)
	forms := map[string]string{event.JSONType: FormStructured, event.BatchType: FormBatch, "application/json": FormPlain}
	form := forms[media]
	charset, given := params["charset"]
	switch {
	case err != nil || form == "",
		p.opt.Format == FormPlain && form != FormPlain,
		p.opt.Format == FormStructured && form == FormPlain:
		return "", &problem{http.StatusUnsupportedMediaType, fmt.Sprintf("content type %q is not taken", contentType)}
	case given && !bytes.EqualFold([]byte(charset), []byte("utf-8")):
		return "", &problem{http.StatusUnsupportedMediaType, fmt.Sprintf("charset %q, want UTF-8", charset)}
	}
	return form, nil
}

// readPlain reads format plain: the object alone, the id in the header.
func readPlain(body []byte, h http.Header) ([]Arrival, *problem) {
	attrs, err := readAttributes(body)
	id := h.Get("Ce-Id")
	a := Arrival{Form: FormPlain, ID: id, Replay: h.Get("Ce-Replay"), Attrs: attrs, Terminal: terminalOf(attrs)}
	if err != nil {
		return []Arrival{a}, badRequest("%v", err)
	}
	p := checkAttrs(attrs)
	if p == nil {
		p = checkID(id)
	}
	return []Arrival{a}, p
}

// readBatch reads events released together: one terminal, one lane.
func readBatch(body []byte) ([]Arrival, *problem) {
	items, err := readArray(body)
	if err != nil {
		return nil, badRequest("batch: %v", err)
	}
	if len(items) == 0 {
		return nil, badRequest("an empty batch")
	}
	var all []Arrival
	var first *problem
	for i, item := range items {
		a, p := readStructured(item)
		a.Form = FormBatch
		if p == nil && i > 0 && (a.Terminal != all[0].Terminal || a.Lane != all[0].Lane) {
			p = badRequest("another terminal or lane than the first of the batch")
		}
		if p != nil {
			a.Problem = p.text
		}
		if p != nil && first == nil {
			first = badRequest("event %d of the batch: %s", i, p.text)
		}
		all = append(all, a)
	}
	return all, first
}
