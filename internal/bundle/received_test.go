package bundle_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vestnik/internal/bundle"
	"vestnik/internal/event"
	"vestnik/internal/replay"
)

// An id that tells no time leaves the time of storage, or none, but not that of the year 1.
func TestReceivedUnknown(t *testing.T) {
	t.Parallel()
	for want, at := range map[string]time.Time{`<stored id="mine" received="2026-11-28T12:00:00.000000005Z" terminal=`: to, `<stored id="mine" terminal=`: {}} {
		var out, lines, tree bytes.Buffer
		log, err := bundle.New(&out, bundle.Options{}).Log(&lines, &tree)
		if err != nil {
			t.Fatal(err)
		}
		e := &event.Event{ID: "mine", Terminal: "00000040", Time: to, Raw: []byte("<event/>")}
		if err := log.Put(replay.Record{Event: e, Stored: at}); err != nil {
			t.Fatal(err)
		}
		if err := log.End(); err != nil || !strings.Contains(tree.String(), want) {
			t.Errorf("%v, want %s: %s", err, want, &tree)
		}
	}
}
