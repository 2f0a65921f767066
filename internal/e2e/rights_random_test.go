package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// Words of which requests are made at random: by luck some are nearly right.
var (
	randomHeads = []string{"$JS.API.", apiPrefix, "guard.", "$JS.hub.API.", "$JS.ACK.", "$KV.", "$SYS.REQ.", "_R_.", "_INBOX.", ""}
	randomVerbs = []string{"STREAM.INFO", "STREAM.PURGE", "STREAM.DELETE", "STREAM.UPDATE", "STREAM.CREATE", "STREAM.MSG.GET", "STREAM.MSG.DELETE",
		"STREAM.NAMES", "STREAM.SNAPSHOT", "CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.DELETE", "CONSUMER.INFO", "CONSUMER.NAMES",
		"CONSUMER.MSG.NEXT", "CONSUMER.RESET", "CONSUMER.UNPIN", "DIRECT.GET", "ACCOUNT.PURGE", "META.LEADER.STEPDOWN"}
	randomStreams = []string{"EVENTS", "ROUTE", "DONE", "AUDIT", "KV_CONTROL", "KV_COMMANDS", "SPY", "*"}
	randomTails   = []string{"", ".spy", ".spy.>", ".spy.out.uralsib.>", ".spy.out.proxima.>", ".spy.done.uralsib.>", ".spy.in.>", ".mark.uralsib", ".done.proxima.batch",
		".spy.audit.>", ".spy.$KV.COMMANDS.proxima.>", ".audit.00000040.cmd", ".*"}
	randomTargets = []string{"in.00000040.URAL", "in.batch", "out.proxima.high.00000040.normal", "out.uralsib.high.00000040.normal", "rt.rules", "rt.held.x",
		"done.proxima.batch", "mark.uralsib", "$KV.CONTROL.all", apiPrefix + "$KV.CONTROL.all", "ctl.edge.stop", "ctl.router.stop",
		"$JS.API.STREAM.PURGE.EVENTS", apiPrefix + "STREAM.DELETE.ROUTE", "guard.STREAM.CREATE.ROUTE", "guard.STREAM.UPDATE.DONE", "_R_.abc", "cmd.00000040.REBOOT",
		"cmd.00000040.GET_STATUS", "as.OPERATOR.cmd.00000040.REBOOT", "audit.00000040.cmd", "audit.00000040.mark", "twin.00000040", "$KV.COMMANDS.proxima.00000040.7"}
)

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

func randomAct(r *rand.Rand) act {
	if r.IntN(4) == 0 {
		return act{pick(r, randomTargets), pick(r, []string{"", "{}", "[]", exampleEvent, `{"max_bytes":1}`})}
	}
	stream, tail := pick(r, randomStreams), pick(r, randomTails)
	a := act{subject: pick(r, randomHeads) + pick(r, randomVerbs) + "." + stream + tail}
	if r.IntN(3) == 0 { // nearly right
		stream, tail = "ROUTE", ".spy.out.uralsib.>"
		a.subject = pick(r, []string{apiPrefix, apiPrefix, "guard."}) + "CONSUMER.CREATE." + stream + tail
	}
	filter := strings.TrimPrefix(strings.TrimPrefix(tail, ".spy"), ".")
	config := fmt.Sprintf(`"name":"spy","ack_policy":"none","mem_storage":true,"filter_subject":%q`, filter)
	switch r.IntN(6) {
	case 0:
		a.body = `{"seq":1}`
	case 1:
		a.body = "1"
	case 2:
		config += fmt.Sprintf(`,"deliver_subject":%q`, pick(r, randomTargets))
	case 3:
		config = strings.Replace(config, "filter_subject", "filter_subjects", 1)
		config = strings.Replace(config, fmt.Sprintf("%q", filter), `["`+pick(r, []string{">", "in.>", "out.proxima.>"})+`"]`, 1)
	case 4:
		a.body = fmt.Sprintf(`{"name":%q,"subjects":["in.>"],"max_bytes":1,"republish":{"src":">","dest":%q}}`, stream, pick(r, randomTargets))
	}
	if a.body == "" {
		a.body = fmt.Sprintf(`{"stream_name":%q,"config":{%s}}`, stream, config)
	}
	name := fmt.Sprintf("spy%d", r.IntN(1<<20)) // that of one that is there is refused
	a.subject, a.body = strings.Replace(a.subject, "spy", name, 1), strings.Replace(a.body, "spy", name, 1)
	return a
}

// Thousands of requests at random by a sink and by an observer, with answers wanted
// at random places, leave the store as it was and everybody at work.
func TestForbiddenAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, "VESTNIK_SEED", int(time.Now().UnixNano()&0xffffff)))
	n := number(t, "VESTNIK_ROUNDS", 4) * 500
	t.Logf("repeat with: VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -count=1 -run TestForbiddenAtRandom ./internal/e2e", seed, n/500)
	s := runSecured(t, settings{})
	s.vestnik("pause")
	for range 5 {
		s.accept("URAL", exampleEvent)
	}
	eventually(t, time.Minute, say("all routed"), func() bool {
		return strings.Count(s.vestnik("queue", "--json"), `"state":"pending"`) == 12
	})
	before := s.store()
	r := rand.New(rand.NewPCG(seed, 1))
	for _, role := range []string{"sink-uralsib", "observer"} {
		nc, js := s.must(role)
		for range n {
			a := randomAct(r)
			reply := nats.NewInbox()
			if r.IntN(2) == 0 {
				reply = pick(r, randomTargets)
			}
			_ = nc.PublishRequest(a.subject, reply, []byte(a.body)) // some are no subjects
		}
		if err := nc.FlushTimeout(30 * time.Second); err != nil {
			t.Fatal(err)
		}
		own := streams.From{Subjects: []string{ownQueue(role)}}
		eventually(t, time.Minute, say("%s is heard again", role), func() bool {
			return streams.Scan(t.Context(), wrap(s, role, js), streams.Route, own, func(jetstream.Msg) error { return nil }) == nil
		})
	}
	if after := s.store(); !slices.Equal(before, after) {
		t.Errorf("the store has changed:\n%s", strings.Join(difference(before, after), "\n"))
	}
	s.vestnik("resume")
	confirmed(t, s.uralsib.Monitor, 6)
	confirmed(t, s.proxima.Monitor, 6)
}
