package main

import (
	"strings"
	"testing"

	"vestnik/internal/scrub"
)

// Of a last record that is not whole nobody knows for sure that it was not acknowledged.
func TestTornIsNoPromise(t *testing.T) {
	t.Parallel()
	list := damageOf(&scrub.Reader{Damage: scrub.Report{Torn: 5}})
	if len(list) != 1 || !strings.Contains(list[0], "the last 5 bytes") || !strings.Contains(list[0], "most likely") || !strings.Contains(list[0], "cut off") {
		t.Error(list)
	}
}
