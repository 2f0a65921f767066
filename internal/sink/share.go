package sink

// Share picks the lane of the next delivery (SPEC 3: of ten deliveries at least
// eight are of the highest waiting lane; the rest keeps low ones from starving).
// Its zero value is ready. It is pure state of one loop, not for concurrent use.
//
// A lower lane that has waited while four others were picked is due; between two
// turns of lower lanes lie at least four picks of the highest waiting lane. So
// any ten picks in a row hold at most two turns, and with two lower lanes
// waiting they take turns: a lane that keeps waiting is picked within ten.
type Share struct {
	passed [3]int // picks in a row at which the lane waited and another was taken
	rest   int    // picks until a lower lane may have a turn again
}

// shareTurn is the distance between two turns of lower lanes: two in ten.
const shareTurn = 5

// Pick chooses among the lanes that have an event to deliver now, indexed as
// streams.Lanes: high, normal, low. It returns -1 if none waits. What it
// returns counts as a delivery of that lane: do not ask twice for one.
func (s *Share) Pick(waiting [3]bool) int {
	lane := s.highest(waiting)
	if lane < 0 {
		return -1
	}
	s.rest = max(s.rest-1, 0)
	if due := s.due(waiting, lane); due >= 0 {
		lane = due
		s.rest = shareTurn
	}
	s.book(waiting, lane)
	return lane
}

func (s *Share) highest(waiting [3]bool) int {
	for lane, w := range waiting {
		if w {
			return lane
		}
	}
	return -1
}

// due is the lower lane whose turn it is, -1 if none: of those passed over
// often enough the one passed over most, of equals the higher. The highest lane
// of this moment counts too: it may have been a lower one at the picks before.
func (s *Share) due(waiting [3]bool, highest int) int {
	if s.rest > 0 {
		return -1
	}
	due, most := -1, max(shareTurn-2, s.passed[highest])
	for lane := highest + 1; lane < len(waiting); lane++ {
		if waiting[lane] && s.passed[lane] > most {
			due, most = lane, s.passed[lane]
		}
	}
	return due
}

func (s *Share) book(waiting [3]bool, picked int) {
	for lane := range s.passed {
		if waiting[lane] && lane != picked {
			s.passed[lane]++
		} else {
			s.passed[lane] = 0
		}
	}
}
