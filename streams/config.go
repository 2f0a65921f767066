package streams

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the one of a connection, by another prefix of its requests where the
// account imports it; "" = $JS.API.
func JetStream(nc *nats.Conn, prefix string) (js jetstream.JetStream, err error) {
	if prefix == "" {
		js, err = jetstream.New(nc)
	} else {
		js, err = jetstream.NewWithAPIPrefix(nc, prefix)
	}
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return js, nil
}

// requests is the prefix of js' requests, with its last dot.
func requests(js jetstream.JetStream) string {
	o := js.Options()
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// EventsConfig is the edge's record of what terminals sent. It refuses when it
// is full (SPEC 4: code 6) and only the keeper removes from it.
func EventsConfig(maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: Events, Description: "Events as the terminals sent them (Vestnik)",
		Subjects: []string{"in.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: maxBytes, AllowDirect: true, Duplicates: dedupWindow,
	}
}

// RouteConfig is derived from EVENTS and can be made again from it: so it may
// be written to disk a little later, which is what makes it fast. PersistMode can
// never be changed later and needs one replica.
func RouteConfig(maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: Route, Description: "What each sink is to deliver, and what rules hold (Vestnik)",
		Subjects: []string{"out.>", "rt.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: maxBytes, AllowDirect: true, Duplicates: dedupWindow,
		PersistMode: jetstream.AsyncPersistMode,
	}
}

// DoneConfig is the record of outcomes: synced always.
func DoneConfig(maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: Done, Description: "What became of each event at each sink (Vestnik)",
		Subjects: []string{"done.>", "mark.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxBytes: maxBytes, AllowDirect: true, Duplicates: dedupWindow,
	}
}

// AuditConfig is the record of commands: synced always. The oldest records make room
// for new ones: a full record must not keep a terminal from being commanded.
func AuditConfig(maxBytes int64, maxAge time.Duration) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: Audit, Description: "Commands to the terminal, and what became of them (Vestnik)",
		Subjects: []string{"audit.>"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxBytes: maxBytes, MaxAge: maxAge, AllowDirect: true, Duplicates: dedupWindow,
	}
}

// PolledConfig is the bucket of commands that a monitoring system gave when it was
// polled, until their results are posted. Entries may have a time to live.
func PolledConfig() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{Bucket: Polled, Description: "Polled commands whose results are not posted yet (Vestnik)", History: 1,
		Storage: jetstream.FileStorage, MaxBytes: 64 << 20, LimitMarkerTTL: time.Hour}
}

// ControlConfig is the bucket that keeps pauses.
func ControlConfig() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{Bucket: Control, Description: "Pauses (Vestnik)", History: 1, Storage: jetstream.FileStorage, MaxBytes: 4 << 20}
}

// dedupWindow is as small as the server has it: we publish no message ids, and
// the window costs memory for each.
const dedupWindow = 2 * time.Second

// Ensure makes the stream, or raises the limit of one that is there. A limit
// below what is stored is not applied but told (warning): a store larger than a
// lowered limit still opens (SPEC 4). MaxBytes 0 leaves an existing limit alone
// and uses dflt for a new stream.
func Ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, dflt int64) (s jetstream.Stream, warning string, err error) {
	s, err = js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if want.MaxBytes == 0 {
			want.MaxBytes = dflt
		}
		if s, err = js.CreateStream(ctx, want); err != nil {
			return nil, "", fmt.Errorf("create stream %s: %w", want.Name, err)
		}
		return s, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("look up stream %s: %w", want.Name, err)
	}
	info := s.CachedInfo()
	if want.Replicas > info.Config.Replicas { // made by one who did not know how many there are to be
		cfg := info.Config
		cfg.Replicas = want.Replicas
		if s, err = js.UpdateStream(ctx, cfg); err != nil {
			return nil, "", fmt.Errorf("raise the replicas of stream %s: %w", want.Name, err)
		}
		info = s.CachedInfo()
	}
	if want.MaxBytes == 0 || want.MaxBytes == info.Config.MaxBytes {
		return s, "", nil
	}
	if uint64(want.MaxBytes) < info.State.Bytes {
		return s, fmt.Sprintf("stream %s holds %d bytes, more than the limit of %d: the limit of %d stays",
			want.Name, info.State.Bytes, want.MaxBytes, info.Config.MaxBytes), nil
	}
	cfg := info.Config
	cfg.MaxBytes = want.MaxBytes
	if s, err = js.UpdateStream(ctx, cfg); err != nil {
		return nil, "", fmt.Errorf("change the limit of stream %s: %w", want.Name, err)
	}
	return s, "", nil
}

// Await waits until a stream that another program makes is there.
func Await(ctx context.Context, js jetstream.JetStream, name string) (jetstream.Stream, error) {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		s, err := js.Stream(ctx, name)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for stream %s: %w (last answer: %w)", name, ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// Incarnation is one life of EVENTS' numbering. After a loss at its end the
// numbers are used again; a new incarnation keeps positions apart (DESIGN fact 7).
type Incarnation struct {
	ID    string
	First uint64 // the first sequence that belongs to it
}

// NewIncarnation makes an id: the time in seconds, so that of two it can be told which is
// the younger, and a random part.
func NewIncarnation(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%08x%08x", uint32(now.Unix()), b)
}

// Younger tells whether the first incarnation began after the other. Ids of earlier
// versions have no time, and are older; of two of one time the greater is younger: so both
// sides say the same.
func Younger(a, b string) bool {
	const timed = 16
	if len(a) != len(b) {
		return len(a) == timed
	}
	return a > b
}

const incarnationsKey = "vestnik_incarnations"

// Incarnations reads them from the stream's metadata, oldest first.
func Incarnations(meta map[string]string) []Incarnation {
	var list []Incarnation
	for _, f := range strings.Fields(meta[incarnationsKey]) {
		id, first, _ := strings.Cut(f, ":")
		var n uint64
		if _, err := fmt.Sscan(first, &n); err == nil {
			list = append(list, Incarnation{id, n})
		}
	}
	return list
}

// SetIncarnations writes them into a stream's metadata.
func SetIncarnations(cfg *jetstream.StreamConfig, list []Incarnation) {
	var b strings.Builder
	for _, i := range list {
		fmt.Fprintf(&b, "%s:%d ", i.ID, i.First)
	}
	setMeta(cfg, incarnationsKey, strings.TrimSpace(b.String()))
}
