package router

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// room watches how full ROUTE is. The router stops at 90 %: so EVENTS fills, so
// intake answers code 6 (DESIGN 3). The rest is for what rules let go. That is the last
// line: the edge closes intake earlier (package gate).
type room struct {
	max  int64
	next time.Time
	full bool
}

const roomEvery = 200 * time.Millisecond

func (r *room) set(info *jetstream.StreamInfo) {
	r.max = info.Config.MaxBytes
	r.full = r.max > 0 && int64(info.State.Bytes) > r.max/100*streams.RouteStopped
	r.next = time.Now().Add(roomEvery)
}

// check tells whether ROUTE is too full to take in more; it asks now and then.
func (r *room) check(ctx context.Context, s jetstream.Stream) (bool, error) {
	if time.Now().Before(r.next) {
		return r.full, nil
	}
	info, err := s.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look up ROUTE: %w", err)
	}
	if streams.Renewal(info.Config.Metadata) != "" {
		return false, errRenewal // asked for since this session began
	}
	r.set(info)
	return r.full, nil
}
