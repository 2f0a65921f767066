package main

import (
	"io"
	"strings"
	"testing"

	"vestnik/internal/ledger"
)

// An event whose time nothing tells has none, and not the year 1.
func TestQueueLineWithoutTime(t *testing.T) {
	t.Parallel()
	if line := queueLine(newPage(io.Discard), ledger.Entry{Terminal: "00000040", Lane: "normal", State: "pending"}); !strings.HasPrefix(line, "- ") {
		t.Errorf("%q", line)
	}
}
