package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// RouteEnd reads the last message of ROUTE that a router wrote, which has the position; nil =
// there is none. It goes back over numbers that are empty, because the disk has lost the end and kept
// its number, and over what somebody else has published there: that has no position.
func RouteEnd(ctx context.Context, route jetstream.Stream, state jetstream.StreamState) (*jetstream.RawStreamMsg, Position, error) {
	if state.Msgs == 0 {
		return nil, Position{}, nil
	}
	for seq := state.LastSeq; seq >= state.FirstSeq && seq > 0; seq-- {
		m, err := route.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, Position{}, fmt.Errorf("read the position, message %d of ROUTE: %w", seq, err)
		}
		if p, err := ParsePosition(m.Header.Get(HeaderPos)); err == nil {
			return m, p, nil
		}
	}
	return nil, Position{}, nil
}
