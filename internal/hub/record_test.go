package hub_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"vestnik/internal/hub"
)

// A line that a power cut or a full disk left unfinished is not of the record, also when
// others have been written since: else nobody could be revoked any more.
func TestTornRecord(t *testing.T) {
	t.Parallel()
	f, err := hub.Init(filepath.Join(t.TempDir(), "hub"), options())
	if err != nil {
		t.Fatal(err)
	}
	out, record := t.TempDir(), filepath.Join(f.Dir, "enrolled.jsonl")
	enroll := func(atm string) {
		t.Helper()
		if _, err := f.Enroll(hub.Enrolment{Terminal: atm, Out: out, Life: time.Hour, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	enroll("40")
	whole, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for _, torn := range [][]byte{whole[:len(whole)/2], append(whole[:len(whole):len(whole)], whole[:len(whole)-1]...)} {
		if err := os.WriteFile(record, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		enroll("41")
		all, err := f.Credentials()
		if err != nil || len(all) == 0 || all[len(all)-1].Terminal != "00000041" {
			t.Fatalf("%+v %v", all, err)
		}
		if _, err := f.Revoke(all[len(all)-1:], time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}
