package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Forwarded is the edge's own record of what its hub has of EVENTS, in the bucket CONTROL.
// It is there as soon as, and as long as, the edge has a hub. It lags behind the hub by
// about a second, which is the truth (package forward).
type Forwarded struct {
	ATM      string    `json:"atm"`          // the number that it was forwarded under
	Life     string    `json:"life"`         // the first life under that number; "" = all are
	Position string    `json:"position"`     // the last event that is surely at the hub; At()
	Hub      uint64    `json:"hub"`          // its sequence in EVT, 0 = none
	ID       string    `json:"id,omitempty"` // its CloudEvents id
	Findings []Finding `json:"findings,omitempty"`
}

// Finding is what the monitoring systems are to know, each once: events that the hub will
// never have, another edge with this one's number.
type Finding struct {
	Key  string    `json:"key"`
	Text string    `json:"text,omitempty"` // of the event of the edge's own; "" once it is told
	Time time.Time `json:"time"`
	Told bool      `json:"told,omitempty"`
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

// HubShare is up to how many per cent of EVENTS' limit what is not forwarded stays: the hub
// is no sink, and one that is away for weeks must not stop a terminal (docs/adr/0033).
const HubShare = 80

// KeepForHub is the first message of EVENTS that has to stay for the hub; what lies before
// may go as far as the hub is concerned. Where there is no hub that is everything.
func KeepForHub(ctx context.Context, js jetstream.JetStream, events *jetstream.StreamInfo) (uint64, error) {
	f, ok, err := ReadForwarded(ctx, js)
	if err != nil {
		return 0, err
	}
	if !ok {
		return math.MaxUint64, nil
	}
	owed := f.At().Live(Lives(events.Config.Metadata)).Seq // which may be half forwarded
	if events.Config.MaxBytes <= 0 {                       // nothing is full
		return owed, nil
	}
	return max(owed, OverShare(events, events.Config.MaxBytes/100*HubShare)), nil
}

// OverShare is the first message to keep if only about so many bytes may stay: the oldest
// go first.
func OverShare(info *jetstream.StreamInfo, keep int64) uint64 {
	st := info.State
	over := int64(st.Bytes) - keep
	if over <= 0 || st.Msgs == 0 {
		return st.FirstSeq
	}
	share := float64(over) / float64(st.Bytes)
	return st.FirstSeq + uint64(share*float64(st.LastSeq-st.FirstSeq+1))
}
