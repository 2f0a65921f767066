package replay_test

import (
	"strings"
	"testing"

	"vestnik/internal/replay"
)

// A lenient import leaves out what is unknown of our events, and makes none of what is not ours.
func TestLenientInventsNothing(t *testing.T) {
	t.Parallel()
	const ours = `{"specversion":"1.0","id":"1","source":"/terminals/00000040","type":"proatm.event","time":"2026-11-28T10:00:00Z","terminal":"00000040","data":"<event/>"}`
	for line, want := range map[string]int{
		ours: 1,
		strings.Replace(ours, `"id"`, `"n":5,"x":"y","id"`, 1):                   1,
		strings.Replace(ours, `"terminal":"00000040",`, ``, 1):                   1,
		`{"specversion":"1.0","id":"1","source":"/x","type":"t","n":5}`:          0,
		strings.Replace(ours, `proatm.event`, `order`, 1):                        0,
		strings.Replace(ours, `"type":"proatm.event",`, ``, 1):                   0,
		strings.Replace(ours, `/terminals/00000040`, `/terminals/`, 1):           0,
		strings.Replace(ours, `/terminals/00000040`, `/terminals/00000041`, 1):   0,
		strings.Replace(ours, `"time":"2026-11-28T10:00:00Z"`, `"time":null`, 1): 0,
		strings.Replace(ours, `2026-11-28T10:00:00Z`, `yesterday`, 1):            0,
		strings.Replace(ours, `,"data":"<event/>"`, ``, 1):                       0,
		strings.Replace(ours, `"data":"<event/>"`, `"data":5`, 1):                0,
	} {
		var skipped, n int
		src := replay.File{R: strings.NewReader(line), Name: "f.jsonl", Lenient: true, Skipped: &skipped}
		err := replay.Read(t.Context(), src, replay.Query{}, false, func(r replay.Record) error {
			n++
			if r.Terminal != "00000040" || r.Time.IsZero() || string(r.Raw) != "<event/>" {
				t.Errorf("%+v", r.Event)
			}
			return nil
		})
		if err != nil || n != want || skipped != 1-want {
			t.Errorf("%s: %d events, %d skipped: %v", line, n, skipped, err)
		}
	}
}
