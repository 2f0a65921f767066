package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// How full ROUTE may get before what is done, in per cent of its limit: the gentle
// measures first, so that the router itself never has to stop (docs/adr/0008).
const (
	RouteOften   = 60 // the keeper makes a round as often as it may
	RouteForget  = 70 // it removes records of what is settled, and gives up lane low if it may
	RouteOpen    = 75 // intake opens again below this
	RouteClose   = 80 // the edge closes intake: code 6
	RouteStopped = 90 // the router reads no more events; the rest is for what rules let go
)

// Fill is how full ROUTE is.
type Fill struct {
	Bytes, Max int64
	Held       int64 // what letting go all that is held would write anew
}

// Percent is the share of the limit that is taken or promised; 0 without a limit.
func (f Fill) Percent() int64 { return f.PercentWith(0) }

// PercentWith is Percent with more bytes still to come.
func (f Fill) PercentWith(more int64) int64 {
	if f.Max <= 0 {
		return 0
	}
	return (f.Bytes + f.Held + more) * 100 / f.Max
}

// Over is how many bytes are to go until only percent of the limit is taken.
func (f Fill) Over(percent int64) int64 { return f.Bytes + f.Held - f.Max/100*percent }

// RouteFill measures ROUTE by what was just asked of it. What rules hold counts
// twice: let go, it is written again before the first copy may be removed.
func RouteFill(ctx context.Context, route jetstream.Stream, info *jetstream.StreamInfo) (Fill, error) {
	f := Fill{Bytes: int64(info.State.Bytes), Max: info.Config.MaxBytes}
	if 2*f.Bytes*100 < f.Max*RouteOften || info.State.Msgs == 0 {
		return f, nil // even if it all were held
	}
	held, err := Count(ctx, route, "rt.held.>")
	if err != nil {
		return f, err
	}
	n := uint64(0)
	for _, k := range held {
		n += k
	}
	f.Held = f.Bytes * int64(n) / int64(info.State.Msgs)
	return f, nil
}

// IsFull tells whether the server refused a message because its stream is at its
// limit. The error's code is that of every store that fails.
func IsFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Description == "maximum bytes exceeded"
}

// Count tells how many messages each subject of a stream has.
func Count(ctx context.Context, s jetstream.Stream, subjects string) (map[string]uint64, error) {
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subjects))
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", subjects, err)
	}
	return info.State.Subjects, nil
}
