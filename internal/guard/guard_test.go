package guard

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

const good = `"name":"c","ack_policy":"none","mem_storage":true`

func TestConsumer(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		good + `,"filter_subject":"out.x.>","opt_start_seq":7,"deliver_policy":"by_start_sequence"`: "",
		good + `,"filter_subject":"out.y.>"`:                                               "filter and request differ",
		good + `,"filter_subjects":["out.y.>"]`:                                            "filter and request differ",
		good + `,"filter_subject":"out.x.>","filter_subjects":["out.y.>"]`:                 "filter and request differ",
		good + `,"filter_subject":"out.x.>","deliver_subject":"in.1.URAL"`:                 "a subject to deliver to",
		good + `,"filter_subject":"out.x.>","DELIVER_SUBJECT":"in.1.URAL"`:                 "a subject to deliver to",
		good + `,"filter_subject":"out.x.>","deliver_group":"g"`:                           "a subject to deliver to",
		good + `,"filter_subject":"out.x.>","durable_name":"c"`:                            "without acks",
		`"name":"c","ack_policy":"explicit","mem_storage":true,"filter_subject":"out.x.>"`: "without acks",
		`"name":"d","ack_policy":"none","mem_storage":true,"filter_subject":"out.x.>"`:     "another stream or consumer",
		`"ack_policy":"none","filter_subject":"out.x.>"`:                                   "without acks",
		`"ack_policy":7`: "consumer of ROUTE: ",
	} {
		data, err := consumer("ROUTE", "c", "out.x.>", []byte(`{"stream_name":"ROUTE","config":{`+config+`}}`))
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", config, err, want)
			}
			continue
		}
		var r consumerRequest
		if err != nil || json.Unmarshal(data, &r) != nil || r.Action != "create" || r.Config.OptStartSeq != 7 || r.Config.InactiveThreshold != idle {
			t.Errorf("%s: %s, %v", config, data, err)
		}
	}
	if _, err := consumer("ROUTE", "c", "", []byte(`{"stream_name":"DONE","config":{`+good+`}}`)); err == nil {
		t.Error("another stream in the body")
	}
	// What the guard does not know it does not pass on.
	data, err := consumer("ROUTE", "c", "", []byte(`{"stream_name":"ROUTE","config":{`+good+`,"pause_until":"2030-01-01T00:00:00Z","metadata":{"a":"b"},"priority_groups":["x"]}}`))
	if err != nil || strings.Contains(string(data), "2030") || strings.Contains(string(data), "priority_groups") {
		t.Errorf("%s, %v", data, err)
	}
}

// Of a stream only the limit is taken: not its subjects, nor where it writes to.
func TestStream(t *testing.T) {
	t.Parallel()
	data, err := stream(streams.Route, []byte(`{"name":"EVENTS","subjects":["in.>"],"max_bytes":1000,"republish":{"src":">","dest":"done.x.>"},"sources":[{"name":"EVENTS"}]}`))
	var got jetstream.StreamConfig
	if err != nil || json.Unmarshal(data, &got) != nil {
		t.Fatalf("%s, %v", data, err)
	}
	if want := streams.RouteConfig(1000); got.Name != want.Name || got.MaxBytes != 1000 || got.RePublish != nil || len(got.Sources) > 0 || strings.Join(got.Subjects, " ") != strings.Join(want.Subjects, " ") {
		t.Errorf("%s", data)
	}
	for name, body := range map[string]string{"EVENTS": `{"max_bytes":1000}`, "X": `{"max_bytes":1000}`, "DONE": `{"max_bytes":-1}`, "ROUTE": "{"} {
		if _, err := stream(name, []byte(body)); err == nil {
			t.Errorf("%s %s is passed on", name, body)
		}
	}
}
