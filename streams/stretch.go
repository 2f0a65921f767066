package streams

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Stretch is where the events of a part of EVENTS are routed: from its first on, up to the
// next stretch. The edge has them on record in EVENTS' metadata, so that each event is
// routed at one place, whenever it is forwarded (docs/adr/0035). What lies before the first
// stretch is routed at the edge.
type Stretch struct {
	Seq   uint64 // its first event
	Index int
	Hub   bool // else edge
}

const stretchesKey = "vestnik_routed"

// Stretches are those of EVENTS, by its metadata, oldest first.
func Stretches(meta map[string]string) (list []Stretch) {
	for _, text := range strings.Fields(meta[stretchesKey]) {
		var s Stretch
		where, place, _ := strings.Cut(text, ":")
		if _, err := fmt.Sscanf(where, "%d.%d", &s.Seq, &s.Index); err == nil {
			s.Hub = place == RoutedHub
			list = append(list, s)
		}
	}
	return list
}

func (s Stretch) before() Position { return Position{Seq: s.Seq, Index: s.Index - 1} }

// HubRoutes tells whether an event of EVENTS is routed at the hub.
func HubRoutes(list []Stretch, seq uint64, index int) bool {
	for _, s := range slices.Backward(list) {
		if s.before().before(seq, index) {
			return s.Hub
		}
	}
	return false
}

// HubRoutesNow tells whether what is stored from now on is routed at the hub.
func HubRoutesNow(list []Stretch) bool { return len(list) > 0 && list[len(list)-1].Hub }

// RouteAt records where the edge's terminal is routed from now on, and tells whether that is
// news. routed is the position of the edge's router: what it has not routed the hub routes,
// if that is the new place. What was the hub's stays the hub's.
func RouteAt(cfg *jetstream.StreamConfig, hub bool, routed Position, state jetstream.StreamState) bool {
	list := Stretches(cfg.Metadata)
	for i := range list { // these numbers were lost with EVENTS' end, and are used again
		if list[i].Seq > state.LastSeq+1 {
			list[i].Seq, list[i].Index = state.LastSeq+1, 0
		}
	}
	if HubRoutesNow(list) != hub {
		next := Stretch{Seq: state.LastSeq + 1, Hub: hub}
		if hub && routed.Seq <= state.LastSeq {
			next.Seq, next.Index = routed.Seq, routed.Index+1
		}
		if n := len(list); n > 0 && !list[n-1].before().before(next.Seq, next.Index) {
			next.Seq, next.Index = list[n-1].Seq, list[n-1].Index
		}
		list = append(list, next)
	}
	for i := len(list) - 1; i > 0; i-- { // an empty one
		if list[i].before() == list[i-1].before() {
			list = slices.Delete(list, i-1, i)
		}
	}
	for len(list) > 1 && list[1].Seq <= state.FirstSeq && list[1].Index == 0 {
		list = list[1:]
	}
	var b strings.Builder
	for _, s := range list {
		place := "edge"
		if s.Hub {
			place = RoutedHub
		}
		fmt.Fprintf(&b, "%d.%d:%s ", s.Seq, s.Index, place)
	}
	text := strings.TrimSpace(b.String())
	if text == cfg.Metadata[stretchesKey] {
		return false
	}
	setMeta(cfg, stretchesKey, text)
	return true
}
