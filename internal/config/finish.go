package config

import (
	"fmt"
	"os"
)

// finish does what needs the whole file: what is missing, what does not fit
// together, what follows from something else.
func (r *reader) finish() {
	r.files()
	r.place()
	r.signatures()
	r.fromRegistry()
	r.plainPort()
	r.tls()
	r.ownPorts()
	r.retries()
	r.healthPorts()
	if p := r.c.Sinks.Proxima; p != nil && p.Batch && p.Format == "plain" {
		r.problems.add(r.c.at("sinks.proxima.batch"), "batch: goes with format structured only")
	}
	if s := r.c.Store; s.EventsBytes > 0 && s.KeepBytes > s.EventsBytes {
		r.problems.add(r.c.at("store.keep_bytes"), "keep_bytes: must not be above events_bytes (%d)", s.EventsBytes)
	}
	r.memory()
}

// place: an edge belongs to a terminal, the hub to all of them; a terminal is routed at
// one place (SPEC 10).
func (r *reader) place() {
	c := r.c
	_, given := c.places["atm"]
	at := func(name string) (place, bool) { p, there := c.places[name]; return p, there }
	switch {
	case c.Place == PlaceEdge && !given:
		r.problems.add(c.at("atm"), "atm is missing: the terminal's number")
	case c.Place == PlaceHub && given:
		r.problems.add(c.at("atm"), "atm: a hub is not one terminal's: leave it out at place hub")
	}
	if p, there := at("hub.route"); there && c.Place == PlaceHub {
		r.problems.add(p, "route: is a setting of the edges: it says where each is routed")
	}
	if p, there := at("run"); there && c.Place == PlaceHub && len(c.Run) > 0 {
		r.problems.add(p, "run: an edge hosts parts, a hub has none")
	}
	if p, there := at("run"); there && c.Hub.Route == PlaceHub && len(c.Run) > 0 {
		r.problems.add(p, "run: this terminal is routed at the hub (hub.route): router and sinks do not run here")
	}
}

// memory: AUDIT is what tells that a command is a repeat (SPEC 7, Once).
func (r *reader) memory() {
	if w := r.c.Terminal.RepeatWindow; r.c.Store.AuditAge < w {
		r.problems.add(r.c.at("store.audit_age"), "audit_age: must not be below terminal.repeat_window (%s): what has been executed is remembered there", spell(w))
	}
}

// files are found beside vestnik.conf unless it names others.
func (r *reader) files() {
	if _, given := r.c.places["rules"]; !given {
		r.c.Rules = r.resolve("rules.xml")
	}
	if _, given := r.c.places["server"]; given {
		return
	}
	if beside := r.resolve("nats.conf"); isFile(beside) {
		r.c.Server = beside
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// signatures: at least one, MSG_SIGNATURE one of them, by default the first (SPEC 7).
func (r *reader) signatures() {
	t := &r.c.Terminal
	if _, given := r.c.places["terminal.signatures"]; !given {
		r.problems.add(r.c.at("terminal.signatures"), "signatures is missing: terminal { signatures { URAL: [uralsib] } }")
		return
	}
	if len(t.Signatures) == 0 {
		if len(r.problems) == 0 {
			r.problems.add(r.c.at("terminal.signatures"), "signatures: at least one is needed")
		}
		return
	}
	at, inside := r.c.places["terminal.MSG_SIGNATURE"]
	old, outside := r.c.places["MSG_SIGNATURE"]
	switch {
	case inside && outside:
		r.problems.add(old, "MSG_SIGNATURE: is given twice, also in terminal %s", at.from(old))
	case outside:
		at = old
	}
	if t.MsgSignature == "" {
		t.MsgSignature = t.Signatures[0].Name
	}
	if r.c.SignatureSinks(t.MsgSignature) == nil {
		r.problems.add(at, "MSG_SIGNATURE: %q is not among terminal.signatures", t.MsgSignature)
	}
}

// plainPort: without TLS the port is for this computer, unless networks are
// named whose events are taken in the clear (SPEC 7).
func (r *reader) plainPort() {
	t := r.c.Terminal
	if !loopback(t.Listen) && len(t.AllowPlainEvents) == 0 {
		r.problems.add(r.c.at("terminal.listen"), "listen: %s is reached from other computers: set a loopback address, or allow_plain_events", t.Listen)
	}
}

// ownPorts: the edge must not send commands to itself, nor listen twice on one port.
func (r *reader) ownPorts() {
	t := r.c.Terminal
	const itself = "application: %s is the edge's own port (%s): commands would come back to it, set the address where the terminal application takes them"
	switch {
	case toItself(t.Application, t.Listen):
		r.problems.add(r.c.at("terminal.application"), itself, t.Application, "terminal.listen")
	case toItself(t.Application, t.TLS.Listen):
		r.problems.add(r.c.at("terminal.application"), itself, t.Application, "terminal.listen_tls")
	}
	if samePort(t.TLS.Listen, t.Listen) {
		r.problems.add(r.c.at("terminal.listen_tls.listen"), "listen: %s is the port of terminal.listen (%s) already: set another", t.TLS.Listen, t.Listen)
	}
}

func (r *reader) tls() {
	n := r.c.NATS
	if (n.Cert == "") != (n.Key == "") {
		r.problems.add(r.c.at("nats"), "nats: cert and key go together")
	}
	r.tlsPort()
}

// tlsPort: nobody is let in without a certificate that can be verified (SPEC 7).
func (r *reader) tlsPort() {
	block, given := r.c.places["terminal.listen_tls"]
	if !given {
		return
	}
	t := r.c.Terminal.TLS
	for _, s := range []struct{ name, value, what string }{
		{"listen", t.Listen, `the address, such as "0.0.0.0:3335"`}, {"cert", t.Cert, "the port's certificate"},
		{"key", t.Key, "the key of cert"}, {"ca", t.CA, "the authority whose clients are let in"},
	} {
		if _, there := r.c.places["terminal.listen_tls."+s.name]; s.value == "" && !there {
			r.problems.add(block, "listen_tls: %s is missing: %s (vestnik certs makes certificates)", s.name, s.what)
		}
	}
}

func (r *reader) retries() {
	for _, name := range sinkNames {
		if s := r.c.Sink(name); s != nil && s.RetryMin > s.RetryMax {
			r.problems.add(r.c.at("sinks."+name+".retry_min"), "retry_min: must not be above retry_max (%s)", spell(s.RetryMax))
		}
	}
}

// fromRegistry gives the original agent's settings at the top of the file to
// the first sink of MSG_SIGNATURE's signature.
func (r *reader) fromRegistry() {
	old := r.registry
	if old.url == nil && old.timeout == nil && old.commands == nil {
		return
	}
	names := r.c.SignatureSinks(r.c.Terminal.MsgSignature)
	if len(names) == 0 {
		return // reported already
	}
	to := r.c.Sinks.named(names[0])
	if *to == nil {
		*to = DefaultSink()
	}
	known := map[string]func(*Sink) []setting{Uralsib: uralsib, Proxima: proxima}[names[0]](*to)
	for _, n := range []*node{old.url, old.timeout, old.commands} {
		if n != nil {
			r.give(*n, names[0], known)
		}
	}
}

func (r *reader) give(n node, sink string, known []setting) {
	s := known[find(known, n.name)]
	path := fmt.Sprintf("sinks.%s.%s", sink, s.names[0])
	if at, twice := r.c.places[path]; twice {
		r.bad(n, "is given twice, also for sink %s %s", sink, at.from(n.at))
		return
	}
	r.c.places[path] = n.at
	s.take(r, n)
}
