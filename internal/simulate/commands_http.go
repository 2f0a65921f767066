package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"vestnik/internal/schema"
)

// serveCommands is RemoteCommandsUrl: GET polls for commands, POST gives a result.
func (p *Proxima) serveCommands(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		p.abort()
	}
	terminal := r.URL.Query().Get("atm")
	var bad *problem
	if len(terminal) != 8 || !atmPattern.MatchString(terminal) {
		bad = badRequest("atm %q is not 8 digits", terminal)
	}
	if r.Method == http.MethodPost {
		p.post(w, r, terminal, body, bad)
		return
	}
	if r.Method != http.MethodGet {
		bad = &problem{http.StatusMethodNotAllowed, "method " + r.Method + ", want GET or POST"}
	}
	p.poll(w, r, terminal, bad)
}

// judge decides what a poll or a post gets; mu is held.
func (p *Proxima) judge(b *Behaviour, bad *problem) (verdict, <-chan struct{}) {
	return b.judge(nil, bad, p.rng.Float64()), p.changed
}

// poll answers as soon as there is a command, else 204 after PollWait.
func (p *Proxima) poll(w http.ResponseWriter, r *http.Request, terminal string, bad *problem) {
	p.mu.Lock()
	p.book.counts.Polls++
	b := p.polls
	b.Success = http.StatusOK
	v, changed := p.judge(&b, bad)
	p.mu.Unlock()
	if v.hang || v.status != 0 && v.status != http.StatusOK {
		p.refuse(w, r, v, changed)
		return
	}
	list := p.await(r.Context(), terminal, p.opt.PollWait)
	switch {
	case r.Context().Err() != nil || pause(r.Context(), v.delay) != nil:
		panic(http.ErrAbortHandler)
	case v.cut:
		cutBody(w, list)
		p.abort()
	case list == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(list)
	}
}

// post takes a result.
func (p *Proxima) post(w http.ResponseWriter, r *http.Request, terminal string, body []byte, bad *problem) {
	got := CommandResult{Time: time.Now(), Terminal: terminal, Body: body}
	if bad == nil {
		bad = got.read(r.Header.Get("Content-Type"))
	}
	c, v, changed := p.take(&got, bad)
	p.withhold(w, r, v, changed)
	if p.success(v.status) && c != nil {
		p.mu.Lock()
		p.orders.confirm(got, c)
		p.mu.Unlock()
	}
	p.refuse(w, r, verdict{status: v.status, text: v.text, retryAfter: v.retryAfter}, nil)
}

// read validates a result and takes from it what is kept.
func (c *CommandResult) read(contentType string) *problem {
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != "application/json" {
		return &problem{http.StatusUnsupportedMediaType, fmt.Sprintf("content type %q is not taken", contentType)}
	}
	if err := schema.ValidateCommandResult(c.Body); err != nil {
		return badRequest("%v", err)
	}
	var head struct {
		ID   json.RawMessage `json:"id"`
		Name string          `json:"name"`
	}
	if err := json.Unmarshal(c.Body, &head); err != nil {
		return badRequest("%v", err)
	}
	c.ID, c.Name = head.ID, head.Name
	if err := json.Unmarshal(c.Body, &c.Answer); err != nil {
		return badRequest("%v", err)
	}
	if c.Answer.ATM != c.Terminal {
		return badRequest("atm %q, but ?atm=%s", c.Answer.ATM, c.Terminal)
	}
	return nil
}

// take decides the answer to a result and keeps it; the command is nil where bad.
func (p *Proxima) take(got *CommandResult, bad *problem) (*ordered, verdict, <-chan struct{}) {
	p.calling.Lock()
	defer p.calling.Unlock()
	p.mu.Lock()
	c := p.orders.by[orderKey(got.Terminal, got.ID)]
	if bad == nil && c == nil {
		bad = &problem{http.StatusConflict, fmt.Sprintf("terminal %s was never given a command with id %s", got.Terminal, got.ID)}
	}
	if bad != nil {
		got.Problem, c = bad.text, nil
	}
	v, changed := p.judge(&p.posts, bad)
	got.Status = v.status
	p.orders.enter(got, c)
	p.mu.Unlock()
	if p.onResult != nil {
		p.onResult(*got)
	}
	return c, v, changed
}

// refuse gives the answer that the verdict says.
func (p *Proxima) refuse(w http.ResponseWriter, r *http.Request, v verdict, changed <-chan struct{}) {
	p.withhold(w, r, v, changed)
	writeVerdict(w, v)
}

// cutBody begins a good answer and closes the connection in the middle of its body.
func cutBody(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 2)))
	w.Write(body[:len(body)/2])
	http.NewResponseController(w).Flush()
}

// serveFile serves the OpenAPI file, and the schema that it refers to.
func serveFile(w http.ResponseWriter, r *http.Request) bool {
	file, ok := map[string][]byte{"/openapi.json": schema.Proxima, "/" + schema.AnswerFile: schema.Answer}[r.URL.Path]
	if !ok || r.Method != http.MethodGet {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(file)
	return true
}
