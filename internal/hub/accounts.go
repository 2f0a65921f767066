package hub

import (
	"github.com/nats-io/jwt/v2"

	"vestnik/streams"
)

// evt is what is stored of all terminals.
const (
	allEvents    = "evt.>"
	storedEvents = streams.EvtLive
	// lastEvent is the request for the last event of a subject; terminals ask it as
	// evtlast.<T>.> (streams.EvtLast).
	lastEvent = "$JS.API.DIRECT.GET." + streams.EvtStream + ".evt.>"
	lastLocal = "evtlast.>"

	commands  = "cmd.>"
	discovery = "$SRV.>"
)

// Prefix is that of JetStream's requests for subscribers with a durable consumer:
// jetstream.NewWithAPIPrefix(nc, Prefix).
const Prefix = "central.API"

// pulls are the requests that a subscriber with a consumer needs, by their name in CENTRAL
// and in his own account.
var pulls = []struct{ exported, local string }{
	{"$JS.API.CONSUMER.MSG.NEXT." + streams.EvtStream + ".*", Prefix + ".CONSUMER.MSG.NEXT." + streams.EvtStream + ".*"},
	{"$JS.API.CONSUMER.INFO." + streams.EvtStream + ".*", Prefix + ".CONSUMER.INFO." + streams.EvtStream + ".*"},
	{"$JS.ACK." + streams.EvtStream + ".*.>", "$JS.ACK." + streams.EvtStream + ".*.>"},
}

// centralAccount has JetStream. Whoever may ask JetStream something in its own account may do
// all with it (DESIGN fact 12: it answers to any subject that a request names), so only the
// bank's own programs are in it.
func centralAccount(key, edges string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(key)
	a.Name = Central
	a.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	a.Exports.Add(service(allEvents, ""), service(lastEvent, ""), &jwt.Export{Name: "events", Subject: storedEvents, Type: jwt.Stream},
		service(pulls[0].exported, jwt.ResponseTypeStream), service(pulls[1].exported, ""), service(pulls[2].exported, ""))
	a.Imports.Add(asks(edges, commands, commands), asks(edges, discovery, discovery))
	return a
}

// edgesAccount is that of the terminals. Each is known by its credentials: the key terminal
// signs users with the rights of this template only, whatever their own JWT says.
func edgesAccount(key, central, terminal string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(key)
	a.Name = Edges
	a.Exports.Add(service(commands, ""), service(discovery, jwt.ResponseTypeStream))
	a.Imports.Add(asks(central, allEvents, allEvents), asks(central, lastEvent, lastLocal))
	a.SigningKeys.AddScopedSigner(terminalScope(terminal))
	return a
}

// tag is the number of a terminal in its user's JWT.
const tag = "atm"

// terminalScope is what a terminal may do: SPEC 10: write only its own events and answer
// only its own commands. _R_.> are answers to whoever asked from another account.
func terminalScope(key string) *jwt.UserScope {
	const own = "{{tag(" + tag + ")}}"
	s := jwt.NewUserScope()
	s.Key, s.Role, s.Description = key, "terminal", "an edge's link"
	s.Template.Pub.Allow = jwt.StringList{"evt." + own + ".>", "evtlast." + own + ".>", "twin." + own, "_R_.>"}
	s.Template.Sub.Allow = jwt.StringList{"cmd." + own + ".>", "_INBOX." + own + ".>", "twin." + own, discovery}
	s.Template.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeLeafnode}
	return s
}

// subsAccount is that of subscribers who listen and publish nothing. They hear what EVT has
// stored, from JetStream itself. To hear EDGES, where the terminals speak, would be to hear
// what one terminal has the hub answer to another's subject; and what came to CENTRAL by a
// service import a server gives to no importer of a stream that is connected to it.
func subsAccount(key, central string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(key)
	a.Name = Subs
	a.Imports.Add(hears(central, storedEvents, allEvents))
	return a
}

// durableAccount is that of one subscriber with a consumer of his own. He asks JetStream by
// imports, and its answers go where his request says: in an account that he shared with
// others he could answer them in the name of events.
func durableAccount(name, key, central string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(key)
	a.Name = subscriberAccount(name)
	a.Imports.Add(hears(central, storedEvents, allEvents))
	for _, p := range pulls {
		a.Imports.Add(asks(central, p.exported, p.local))
	}
	return a
}

func subscriberAccount(name string) string { return Subs + "-" + name }

func systemAccount(key string) *jwt.AccountClaims {
	a := jwt.NewAccountClaims(key)
	a.Name = System
	return a
}

func service(subject string, response jwt.ResponseType) *jwt.Export {
	return &jwt.Export{Name: subject, Subject: jwt.Subject(subject), Type: jwt.Service, ResponseType: response}
}

// asks is the right to ask, under the name local, what another account answers.
func asks(account, subject, local string) *jwt.Import {
	i := &jwt.Import{Name: local, Account: account, Subject: jwt.Subject(subject), Type: jwt.Service}
	if local != subject {
		i.LocalSubject = jwt.RenamingSubject(local)
	}
	return i
}

// hears is the right to hear, under the name local, what another account publishes.
func hears(account, subject, local string) *jwt.Import {
	return &jwt.Import{Name: local, Account: account, Subject: jwt.Subject(subject), LocalSubject: jwt.RenamingSubject(local), Type: jwt.Stream}
}
