package hub

import (
	"github.com/nats-io/jwt/v2"

	"vestnik/streams"
)

// Names of the people at the hub; programs have their own.
const (
	Operator   = "operator" // reads, commands, replays, hub apply
	Observer   = "observer" // reads
	SystemRole = "sys"      // vestnik revoke, vestnik hub status
)

// role is a user with credentials of his own. Rights inside CENTRAL keep programs from
// mistakes; they do not hold against one that means harm, for it may ask JetStream.
type role struct {
	name, account, about string
	publish, subscribe   []string
	denied               []string // of publish
	asked                bool     // answers whoever asks it
}

// polls is the sink that polls commands and has terminals execute them (SPEC 7).
const polls = "proxima"

// reads is what reading a stream takes.
var reads = []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
	"$JS.API.STREAM.MSG.GET.*", "$JS.API.DIRECT.GET.>", "$JS.API.CONSUMER.>"}

// makes is what a program needs to make streams and change them.
var makes = []string{"$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.UPDATE.*"}

// answers is what a micro service of ours listens to.
func answers(program string) []string {
	return []string{"_INBOX.>", "ctl." + program + ".*", discovery}
}

// roles are the users that vestnik hub init makes.
func roles(sinks []string) []role {
	list := []role{
		{name: "router", account: Central, about: "routes the events of EVT, keeps the streams small",
			publish:   join(reads, makes, []string{"out.>", "rt.>", "done.>", "mark.>", "$KV." + streams.Control + ".>", "$KV." + streams.Routed + ".>", "$JS.API.STREAM.PURGE.*", "$JS.API.STREAM.MSG.DELETE.*", streams.Ctl("router", "sole"), "ctl.*.status"}),
			subscribe: answers("router"), asked: true},
	}
	for _, sink := range sinks {
		program := "sink-" + sink
		r := role{name: program, account: Central, about: "delivers to " + sink, asked: true,
			publish: join(reads, makes, []string{"done." + sink + ".>", "mark." + sink, streams.Ctl(program, "sole")}), subscribe: answers(program)}
		if sink == polls {
			r.publish = append(r.publish, "$KV."+streams.Polled+"."+sink+".>", "cmd.*.*")
		}
		list = append(list, r)
	}
	return append(list,
		role{name: Operator, account: Central, about: "a person who reads, commands terminals, replays, steers, makes the streams",
			publish: []string{">"}, denied: []string{allEvents, storedEvents, "in.>", "rt.>", "done.>", "mark.>", "twin.>", "evtlast.>", "as.>"}, subscribe: []string{">"}},
		role{name: Observer, account: Central, about: "a person who reads",
			publish: join(reads, []string{"ctl.*.status", discovery}), subscribe: []string{"_INBOX.>", allEvents}},
		role{name: SystemRole, account: System, about: "vestnik revoke, and who is connected",
			publish: []string{claimsUpdate, "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.>"}, subscribe: []string{"_INBOX.>"}})
}

func join(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func (r role) permissions() (p jwt.Permissions) {
	p.Pub.Allow, p.Pub.Deny, p.Sub.Allow = r.publish, r.denied, r.subscribe
	if r.asked { // it holds against what is denied: who hears all would ask himself
		p.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: 2 * 60 * 1e9}
	}
	return p
}
