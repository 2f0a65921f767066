package sink

import (
	"math/bits"
	"slices"
	"testing"

	"vestnik/streams"
)

func TestShareSequences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ waiting, want string }{
		{"---", "...................."},
		{"h--", "hhhhhhhhhhhhhhhhhhhh"},
		{"--l", "llllllllllllllllllll"},
		{"hn-", "hhhhnhhhhnhhhhnhhhhn"},
		{"h-l", "hhhhlhhhhlhhhhlhhhhl"},
		{"-nl", "nnnnlnnnnlnnnnlnnnnl"},
		{"hnl", "hhhhnhhhhlhhhhnhhhhl"},
	} {
		var s Share
		got := ""
		for range len(c.want) {
			got += name(s.Pick(parse(c.waiting)))
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.waiting, got, c.want)
		}
	}
}

// SPEC 4: back again, delivery goes on at once, higher lanes first: an idle time
// saves up no turns.
func TestShareSavesNothing(t *testing.T) {
	t.Parallel()
	var s Share
	for range 100 {
		s.Pick(parse("h--"))
	}
	got := ""
	for range 5 {
		got += name(s.Pick(parse("h-l")))
	}
	if got != "hhhhl" {
		t.Errorf("after 100 picks of high alone: %s, want hhhhl", got)
	}
}

func parse(s string) (w [3]bool) {
	for i := range w {
		w[i] = s[i] != '-'
	}
	return w
}

func name(lane int) string {
	if lane < 0 {
		return "."
	}
	return streams.Lanes[lane][:1]
}

// shareWalk is where a Share can stand, with a count of its own of what it did.
type shareWalk struct {
	share Share
	lower uint16 // the last ten picks: 1 = not of the highest waiting lane
	since [3]int // picks in a row at which the lane waited and another was taken
}

// step picks once and checks what SPEC 3 promises of every pick.
func (w shareWalk) step(t *testing.T, waiting [3]bool) shareWalk {
	highest := slices.Index(waiting[:], true)
	got := w.share.Pick(waiting)
	if got < 0 || !waiting[got] {
		t.Fatalf("%+v: picked %d of %v", w, got, waiting)
	}
	w.lower = w.lower << 1 & 0x3ff
	if got != highest {
		w.lower |= 1
	}
	if bits.OnesCount16(w.lower) > 2 {
		t.Fatalf("%+v: more than two of ten are not of the highest waiting lane", w)
	}
	for lane := range w.since {
		if w.since[lane]++; got == lane || !waiting[lane] {
			w.since[lane] = 0
		}
		if w.since[lane] == 10 {
			t.Fatalf("%+v: lane %d starves", w, lane)
		}
	}
	return w
}

// Whatever comes and goes, without end: of any ten picks in a row at least eight
// are of the lane that was the highest waiting, and a lane that keeps waiting is
// picked within ten. No sample: every state that can be reached.
func TestShareEverywhere(t *testing.T) {
	t.Parallel()
	seen := map[shareWalk]bool{{}: true}
	for next := []shareWalk{{}}; len(next) > 0; next = next[1:] {
		for mask := 1; mask < 8; mask++ {
			w := next[0].step(t, [3]bool{mask&1 != 0, mask&2 != 0, mask&4 != 0})
			if !seen[w] {
				seen[w] = true
				next = append(next, w)
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d states", len(seen))
	}
}
