package sink

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

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

// Whatever comes and goes: any ten picks in a row hold at most two that are not
// of the highest waiting lane, and a lane that keeps waiting is picked within ten.
func TestShareProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s Share
		var lower []bool
		var since [3]int
		w := [3]bool{}
		for step := range rapid.IntRange(1, 300).Draw(t, "steps") {
			for lane := range w { // a lane keeps its state for a while
				if rapid.IntRange(0, 5).Draw(t, "flip") == 0 {
					w[lane] = !w[lane]
				}
			}
			highest := -1
			for lane := len(w) - 1; lane >= 0; lane-- {
				if w[lane] {
					highest = lane
				}
			}
			got := s.Pick(w)
			if got < 0 != (highest < 0) || got >= 0 && !w[got] {
				t.Fatalf("step %d: picked %d of %v", step, got, w)
			}
			if got < 0 {
				continue
			}
			if lower = append(lower, got != highest); lowerOf(lower) > 2 {
				t.Fatalf("step %d: %s", step, fmt.Sprint(lower[max(0, len(lower)-10):]))
			}
			for lane := range since {
				if since[lane]++; got == lane || !w[lane] {
					since[lane] = 0
				}
				if since[lane] >= 10 {
					t.Fatalf("step %d: lane %d starves", step, lane)
				}
			}
		}
	})
}

func lowerOf(picks []bool) (n int) {
	for _, l := range picks[max(0, len(picks)-10):] {
		if l {
			n++
		}
	}
	return n
}
