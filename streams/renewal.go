package streams

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	renewKey   = "vestnik_renew"
	renewedKey = "vestnik_renewed"
)

// AskRenewal asks the router, in ROUTE's metadata, to make again what ROUTE and
// DONE have lost. It stays asked until the router is done.
func AskRenewal(cfg *jetstream.StreamConfig, id string) { setMeta(cfg, renewKey, id) }

// Renewal is what is asked for, "" = nothing.
func Renewal(meta map[string]string) string { return meta[renewKey] }

// Renewed takes the question away, and says how many events were put into the queues
// again.
func Renewed(cfg *jetstream.StreamConfig, id string, events int) {
	setMeta(cfg, renewedKey, fmt.Sprintf("%s %d", id, events))
	delete(cfg.Metadata, renewKey)
}

// LastRenewal is the last renewal that was done, "" = there was none.
func LastRenewal(meta map[string]string) (id string, events int) {
	id, n, _ := strings.Cut(meta[renewedKey], " ")
	_, _ = fmt.Sscan(n, &events) // 0, if somebody else has written there
	return id, events
}

// setMeta leaves the map alone that others may share.
func setMeta(cfg *jetstream.StreamConfig, key, value string) {
	meta := make(map[string]string, len(cfg.Metadata)+1)
	for k, v := range cfg.Metadata {
		meta[k] = v
	}
	meta[key] = value
	cfg.Metadata = meta
}
