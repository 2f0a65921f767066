package config

import (
	"path/filepath"
	"time"
)

// The settings of vestnik.conf: what the tables here do not name is an error.

// read fills a Config from the parsed file.
func read(path string, parsed block) (*Config, Problems) {
	c := Default()
	c.File, c.places = path, map[string]place{}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil { // no working folder: relative paths stay relative
		dir = filepath.Dir(path)
	}
	r := &reader{c: c, dir: dir}
	r.block(parsed, top(c, &r.registry))
	r.finish()
	_ = r.warnings.err(path) // sorts them
	for _, w := range r.warnings {
		c.Warnings = append(c.Warnings, w.Error())
	}
	return c, r.problems
}

// registry is the original agent's settings, which knew one monitoring system
// (SPEC 11): they belong to the first sink of MSG_SIGNATURE's signature.
type registry struct {
	url, timeout, commands *node
}

func top(c *Config, old *registry) []setting {
	return []setting{
		is("atm", atm(&c.ATM)),
		is("place", text(&c.Place, oneOf(PlaceEdge, PlaceHub))),
		is("hub", inside(hub(&c.Hub)...)),
		is("terminal", inside(terminal(&c.Terminal)...)),
		is("server", file(&c.Server)),
		is("nats", inside(nats(&c.NATS)...)),
		is("rules", file(&c.Rules), "EventRulesFileName"),
		is("sinks", inside(sinks(&c.Sinks)...)),
		is("run", parts(&c.Run)),
		is("store", inside(store(&c.Store)...)),
		is("log", inside(logs(&c.Log)...)),
		is("MSG_SIGNATURE", text(&c.Terminal.MsgSignature, signature)),
		is("RemoteMonitoringUrl", later(&old.url)),
		is("RemoteMonitoringTimeoutSec", later(&old.timeout)),
		is("RemoteCommandsUrl", later(&old.commands)),
		is("commands_folder", unused(file(&c.CommandsFolder))),
		is("health", inside(health(&c.Health)...)),
		is("mailbox", unused(inside(mailbox()...))),
		is("accounts", unused(boolean(new(bool)))),
	}
}

// later keeps a value whose place is known only when the whole file is read.
func later(to **node) func(*reader, node) {
	return func(_ *reader, n node) { *to = &n }
}

// terminal holds the port's settings (SPEC 1, 7).
func terminal(t *Terminal) []setting {
	return []setting{
		is("listen", text(&t.Listen, address)),
		is("application", text(&t.Application, address, reachable)),
		is("signatures", signatures(&t.Signatures)),
		is("MSG_SIGNATURE", text(&t.MsgSignature, signature)),
		is("byte_order", text(&t.ByteOrder, oneOf("big", "little"))),
		is("keep_alive", boolean(&t.KeepAlive)),
		is("frame_timeout", duration(&t.FrameTimeout, time.Millisecond, time.Hour)),
		is("idle_timeout", duration(&t.IdleTimeout, time.Millisecond, day)),
		is("max_connections", whole(&t.MaxConnections, 1, 1_000_000)),
		is("max_body", whole(&t.MaxBody, 1, 65535)),
		is("xml_depth", whole(&t.XMLDepth, 1, 10_000)),
		is("xml_attributes", whole(&t.XMLAttributes, 1, 10_000)),
		is("dedup_window", duration(&t.DedupWindow, 0, day)),
		is("allow_plain_events", texts(&t.AllowPlainEvents, network)),
		is("listen_tls", inside(listenTLS(&t.TLS)...)),
		is("commands", boolean(&t.Commands)),
		is("repeat_window", duration(&t.RepeatWindow, 0, 30*day)),
		is("connect_timeout", duration(&t.ConnectTimeout, time.Millisecond, time.Minute)),
		is("answer_timeout", duration(&t.AnswerTimeout, time.Millisecond, 10*time.Minute)),
	}
}

func hub(h *Hub) []setting {
	return []setting{
		is("route", text(&h.Route, oneOf(PlaceEdge, PlaceHub))),
		is("replicas", whole(&h.Replicas, 1, 5)),
	}
}

func listenTLS(t *ListenTLS) []setting {
	return []setting{
		is("listen", text(&t.Listen, address)),
		is("cert", file(&t.Cert)),
		is("key", file(&t.Key)),
		is("ca", file(&t.CA)),
	}
}

func nats(n *NATS) []setting {
	return []setting{
		is("url", text(&n.URL, servers)),
		is("api_prefix", text(&n.APIPrefix, printable)),
		is("certs", file(&n.Certs)),
		is("creds", file(&n.Creds)),
		is("ca", file(&n.CA)),
		is("cert", file(&n.Cert)),
		is("key", file(&n.Key)),
	}
}

func sinks(s *Sinks) []setting {
	return []setting{
		is(Uralsib, sink(&s.Uralsib, uralsib)),
		is(Proxima, sink(&s.Proxima, proxima)),
		is("mailbox", func(r *reader, n node) { r.bad(n, "not in this version") }),
	}
}

func sink(to **Sink, known func(*Sink) []setting) func(*reader, node) {
	return func(r *reader, n node) {
		*to = DefaultSink()
		inside(known(*to)...)(r, n)
	}
}

// uralsib is what every sink has; it takes no commands and has one format (SPEC 5).
func uralsib(s *Sink) []setting {
	only := func(r *reader, n node) { r.bad(n, "is a setting of sink proxima only") }
	return append(everySink(s), is("RemoteCommandsUrl", only, "commands_url"), is("format", only), is("batch", only), is("poll_parallel", only))
}

func proxima(s *Sink) []setting {
	return append(everySink(s),
		is("RemoteCommandsUrl", text(&s.CommandsURL, webAddress), "commands_url"),
		is("format", text(&s.Format, oneOf("structured", "plain"))),
		is("batch", boolean(&s.Batch)),
		is("poll_parallel", whole(&s.PollParallel, 1, 10_000)),
	)
}

func everySink(s *Sink) []setting {
	return []setting{
		is("RemoteMonitoringUrl", text(&s.URL, webAddress), "url"),
		is("RemoteMonitoringTimeoutSec", seconds(&s.Timeout, time.Millisecond, time.Hour), "timeout"),
		is("max_in_flight", whole(&s.MaxInFlight, 1, 10_000)),
		is("rate_limit", rate(&s.RateLimit)),
		is("retry_min", duration(&s.RetryMin, time.Millisecond, day)),
		is("retry_max", duration(&s.RetryMax, time.Millisecond, day)),
		is("aside_min", duration(&s.AsideMin, time.Millisecond, day)),
		is("ca", file(&s.CA)),
	}
}

// store holds limits and retention (SPEC 4).
func store(s *Store) []setting {
	return []setting{
		is("events_bytes", size(&s.EventsBytes)),
		is("route_bytes", size(&s.RouteBytes)),
		is("done_bytes", size(&s.DoneBytes)),
		is("audit_bytes", atLeast(32<<20, "32MB: a flood of commands must not push out what is remembered", &s.AuditBytes)),
		is("audit_age", duration(&s.AuditAge, time.Hour, 100*365*day)),
		is("keep_age", duration(&s.KeepAge, time.Second, 36500*day)),
		is("keep_bytes", size(&s.KeepBytes)),
		is("when_full", text(&s.WhenFull, oneOf("refuse", "discard_low"))),
		is("purge_delivered_on_start", boolean(&s.PurgeDeliveredOnStart)),
	}
}

func logs(l *Log) []setting {
	return []setting{
		is("level", text(&l.Level, oneOf("debug", "info", "warn", "error"))),
		is("format", text(&l.Format, oneOf("json", "console"))),
	}
}

// mailbox belongs to a later version: a file written for one is checked lightly
// and has no effect.
func mailbox() []setting {
	return []setting{
		is("listen", text(new(string), address)),
		is("ca", text(new(string), printable)),
		is("cert", text(new(string), printable)),
		is("key", text(new(string), printable)),
		is("user_attribute", text(new(string))),
		is("user", text(new(string))),
		is("max_document", size(new(int64))),
	}
}
