package hub

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An account that was signed by a clock that was ahead is not waited for without a word:
// a revocation would seem to hang.
func TestChangeWhenClockWasAhead(t *testing.T) {
	t.Parallel()
	now := time.Now()
	f, err := Init(filepath.Join(t.TempDir(), "hub"), Options{Local: true, Hosts: []string{"127.0.0.1"}, Cluster: "hub", Life: time.Hour, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	a, err := f.account(Edges)
	if err != nil {
		t.Fatal(err)
	}
	a.IssuedAt = now.Add(30 * time.Second).Unix()
	if _, err := f.change(a); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("after %s: %v", time.Since(now), err)
	}
}
