package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Forwarded is the edge's own record of what its hub has of EVENTS, in the bucket CONTROL.
// It is there as soon as, and as long as, the edge has a hub. It lags behind the hub by
// about a second, which is the truth (package forward).
type Forwarded struct {
	Position string   `json:"position"`       // the last event that is surely at the hub; Position()
	Hub      uint64   `json:"hub"`            // its sequence in EVT, 0 = none
	ID       string   `json:"id,omitempty"`   // its CloudEvents id
	Told     []string `json:"told,omitempty"` // findings that were reported (package forward)
}

// ForwardedKey is where it stands.
const ForwardedKey = "forward"

// At is the record's position.
func (f Forwarded) At() Position {
	p, err := ParsePosition(f.Position)
	if err != nil {
		return Position{} // of nobody: nothing is forwarded
	}
	return p
}

// ReadForwarded reads the record; ok = there is one.
func ReadForwarded(ctx context.Context, js jetstream.JetStream) (f Forwarded, ok bool, err error) {
	s, err := js.Stream(ctx, "KV_"+Control)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("read the record of forwarding: %w", err)
	}
	m, err := s.GetLastMsgForSubject(ctx, forwardedSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Header.Get("KV-Operation") != "" { // removed
		return f, false, nil
	}
	if err != nil {
		return f, false, fmt.Errorf("read the record of forwarding: %w", err)
	}
	if err := json.Unmarshal(m.Data, &f); err != nil {
		return f, false, nil //nolint:nilerr // not ours: as if there were none
	}
	return f, true, nil
}

const forwardedSubject = "$KV." + Control + "." + ForwardedKey

// PutForwarded replaces the record; it is on the disk when it returns.
func PutForwarded(ctx context.Context, js jetstream.JetStream, f Forwarded) error {
	data, err := json.Marshal(f)
	if err == nil {
		_, err = js.Publish(ctx, forwardedSubject, data)
	}
	if err != nil {
		return fmt.Errorf("record of forwarding: %w", err)
	}
	return nil
}

// DropForwarded removes the record: the edge has no hub any more.
func DropForwarded(ctx context.Context, js jetstream.JetStream) error {
	if _, ok, err := ReadForwarded(ctx, js); err != nil || !ok {
		return err
	}
	kv, err := js.KeyValue(ctx, Control)
	if err == nil {
		err = kv.Purge(ctx, ForwardedKey)
	}
	if err != nil {
		return fmt.Errorf("remove the record of forwarding: %w", err)
	}
	return nil
}
