package streams

import "github.com/nats-io/nats.go/jetstream"

// HubStreams are the streams that the hub is to have, for vestnik hub apply. Buckets are
// made by the programs that use them.
func HubStreams(o HubOptions) []jetstream.StreamConfig {
	list := []jetstream.StreamConfig{EvtConfig(o)}
	if o.Route {
		at := Layout{Hub: true, Replicas: o.Replicas}
		list = append(list, at.RouteConfig(o.RouteBytes), at.DoneConfig(o.DoneBytes))
	}
	return list
}
