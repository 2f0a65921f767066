package streams

import "github.com/nats-io/nats.go/jetstream"

// HubStreams are the streams that the hub is to have, for vestnik hub apply. Buckets are
// made by the programs that use them.
func HubStreams(o HubOptions) []jetstream.StreamConfig {
	list := []jetstream.StreamConfig{EvtConfig(o)}
	if o.Route {
		route, done := RouteConfig(o.RouteBytes), DoneConfig(o.DoneBytes)
		// With several replicas a stream cannot be written behind; and a direct get may be
		// answered by a server that has not got the message yet.
		route.PersistMode = jetstream.DefaultPersistMode
		route.Replicas, route.AllowDirect = o.Replicas, false
		done.Replicas, done.AllowDirect = o.Replicas, false
		list = append(list, route, done)
	}
	return list
}
