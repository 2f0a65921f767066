package hold

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vestnik/internal/clock"
	"vestnik/internal/event"
)

func item(at clock.Moment) Item { return Item{ID: event.NewID(at.Wall)} }

// SPEC 3: whichever of count and timeout holds first.
func TestCountAndTimeout(t *testing.T) {
	start := clock.Now()
	for _, c := range []struct {
		count   int
		timeout time.Duration
		events  int
		after   time.Duration
		full    bool
		due     bool
	}{
		{5, 0, 4, time.Hour, false, false},
		{5, 0, 5, 0, true, false},
		{0, time.Minute, 100, 59 * time.Second, false, false},
		{0, time.Minute, 1, time.Minute + time.Millisecond, false, true},
		{5, time.Minute, 4, 61 * time.Second, false, true},
		{5, time.Minute, 5, time.Second, true, false},
	} {
		var b Book
		var g *Group
		for range c.events {
			g = b.Add("g", Terms{Count: c.count, Timeout: c.timeout}, item(start), start)
		}
		if g.Full() != c.full || (b.Due(start.Add(c.after)) != nil) != c.due {
			t.Errorf("%+v: full %v, due %v", c, g.Full(), b.Due(start.Add(c.after)) != nil)
		}
	}
}

// A receipt in the past counts, one in the future never holds longer than the
// timeout (SPEC 3: a clock set back).
func TestBase(t *testing.T) {
	now := clock.Now()
	for _, c := range []struct{ receipt, due time.Duration }{
		{0, time.Minute}, {-30 * time.Second, 30 * time.Second}, {-time.Hour, 0}, {time.Hour, time.Minute},
	} {
		var b Book
		b.Add("g", Terms{Timeout: time.Minute}, item(now.Add(c.receipt)), now)
		next, ok := b.Next()
		if d := next - now.Run; !ok || d < c.due-2*time.Millisecond || d > c.due+2*time.Millisecond {
			t.Errorf("receipt at %v: due after %v, want %v", c.receipt, d, c.due)
		}
		if ahead := len(b.Moved(now)) == 1; ahead != (c.receipt > 0) {
			t.Errorf("receipt at %v: ahead %v", c.receipt, ahead)
		}
	}
	var b Book
	b.Add("g", Terms{Timeout: time.Minute}, item(now.Add(time.Hour)), now)
	b.Rebase("g", now.Wall.Add(-50*time.Second), now)
	if next, _ := b.Next(); next-now.Run > 11*time.Second || len(b.Moved(now)) != 0 {
		t.Error("rebase did not move the deadline")
	}
}

// Against a plain model: groups keep order, come due in order, and nothing is
// held that was not added or after it was taken.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		now := clock.Now()
		model := map[Key][]uint64{}
		due := map[Key]time.Duration{}
		seq := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := Key(fmt.Sprint("g", rapid.IntRange(0, 4).Draw(t, "group")))
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1:
				seq++
				if model[key] == nil {
					due[key] = now.Run + time.Minute
				}
				b.Add(key, Terms{Timeout: time.Minute}, Item{Seq: seq, ID: event.NewID(now.Wall)}, now)
				model[key] = append(model[key], seq)
			case 2:
				now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "seconds")) * time.Second)
			case 3:
				g := b.Due(now)
				late := false
				for _, at := range due {
					late = late || now.Run-at > time.Second // the id keeps milliseconds
				}
				if late && g == nil {
					t.Fatal("a deadline was missed")
				}
				if g == nil {
					continue
				}
				if now.Run < due[g.Key]-time.Second {
					t.Fatal("a group came due too early")
				}
				b.Take(g.Key)
				if len(g.Items) != len(model[g.Key]) {
					t.Fatalf("%d items, want %d", len(g.Items), len(model[g.Key]))
				}
				for i, it := range g.Items {
					if it.Seq != model[g.Key][i] {
						t.Fatal("order lost")
					}
				}
				delete(model, g.Key)
				delete(due, g.Key)
			}
			n := 0
			for _, m := range model {
				n += len(m)
			}
			if b.Held() != n {
				t.Fatalf("%d held, want %d", b.Held(), n)
			}
		}
	})
}
