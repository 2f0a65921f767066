package streams

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Evt is the hub's stream of every event of every terminal (SPEC 10), one CloudEvent per
// message:
//
//	evt.<T>.<device>.<severity>.<incarnation>
//
// <T> is the number of the edge that sent it; the event's own stands in ce-source and in
// the extension `terminal`. Each message has a header HeaderPos: its place in that edge's
// EVENTS. Of one terminal and incarnation the stream always holds a true prefix of what
// the edge stored, in its order (package forward).
const EvtStream = "EVT"

// EvtLive is where the hub publishes each event anew once EVT has stored it, for subscribers
// who only listen. Nobody else can publish there, so what they hear is an event of the
// terminal that its subject names (docs/adr/0039).
const EvtLive = "live.evt.>"

// Evt is the subject of one event at the hub.
func Evt(terminal, device, severity, incarnation string) string {
	return "evt." + Terminal(terminal) + "." + Device(device) + "." + Severity(severity) + "." + token(incarnation)
}

// EvtEdge is the number of the edge that a subject of EVT names, "" if it names none.
func EvtEdge(subject string) string {
	rest, ok := strings.CutPrefix(subject, "evt.")
	if !ok {
		return ""
	}
	edge, _, _ := strings.Cut(rest, ".")
	return edge
}

// EvtTerminal matches all of a terminal's events at the hub, EvtLife those of one life of
// its EVENTS' numbering.
func EvtTerminal(terminal string) string { return "evt." + Terminal(terminal) + ".>" }
func EvtLife(terminal, incarnation string) string {
	return "evt." + Terminal(terminal) + ".*.*." + token(incarnation)
}

// EvtLast is the request for the last event of such a life that the hub has, EvtLastAny
// for that of any life. The account of the hub's terminals maps it to a direct get
// (deploy/hub): the answer is the message, or status 404.
func EvtLast(terminal, incarnation string) string {
	return "evtlast." + Terminal(terminal) + ".*.*." + token(incarnation)
}
func EvtLastAny(terminal string) string { return "evtlast." + Terminal(terminal) + ".>" }

// HeaderRouted says, on messages of EVT, where the event is routed: RoutedHub = by the hub's
// router; without it, at the edge.
const (
	HeaderRouted = "routed"
	RoutedHub    = "hub"
)

// HeaderReplay is the id of the run, on what vestnik replay has sent to a subject (the
// CloudEvents extension `replay` has it too).
const HeaderReplay = "Vestnik-Replay"

// HubOptions are what the hub's streams need to be made.
type HubOptions struct {
	Replicas              int           // 3
	MaxBytes              int64         // of EVT; 0 = no limit of its own
	KeepAge               time.Duration // of EVT, where no router runs at the hub
	RouteBytes, DoneBytes int64         // of ROUTE and DONE
	Route                 bool          // a router runs at the hub: its keeper removes, by age and size, what is routed
}

// EvtConfig is EVT. Without a router at the hub the oldest make room by themselves; with
// one nothing leaves before it is routed, and a full EVT refuses, so that the edges keep.
func EvtConfig(o HubOptions) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: EvtStream, Description: "Events of all terminals (Vestnik)", Subjects: []string{"evt.>"},
		Storage: jetstream.FileStorage, Replicas: o.Replicas, MaxBytes: o.MaxBytes, Discard: jetstream.DiscardOld, MaxAge: o.KeepAge,
		AllowDirect: true, AllowAtomicPublish: true, Duplicates: dedupWindow,
		RePublish: &jetstream.RePublish{Source: "evt.>", Destination: EvtLive},
	}
	if o.Route {
		c.Discard, c.MaxAge = jetstream.DiscardNew, 0
	}
	return c
}
