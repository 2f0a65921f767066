//go:build !windows

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What --out names stays what it is.
func TestReplayOutKinds(t *testing.T) {
	t.Parallel()
	f := newEvidence(t)
	f.fill()
	want, _ := f.wants(true, "replay")

	target, link, hanging := f.write("target.jsonl", "old"), filepath.Join(f.dir, "link.jsonl"), filepath.Join(f.dir, "hanging.jsonl")
	for name, to := range map[string]string{link: "target.jsonl", hanging: "nothing"} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	f.wants(true, "replay --out "+link)
	if got, err := os.ReadFile(target); err != nil || string(got) != want || kind(t, link) != fs.ModeSymlink {
		t.Errorf("%s %v %s", got, err, kind(t, link))
	}
	for _, args := range []string{"replay --out " + hanging, "timeline 40 --since 2026-11-28 --svg " + hanging, "bundle 40 -o " + hanging, "replay --out " + f.dir} {
		f.wants(false, args)
	}
	if kind(t, hanging) != fs.ModeSymlink {
		t.Error(kind(t, hanging))
	}

	pipe := filepath.Join(f.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Open for both, so that neither side waits: what the test reads is below a pipe's size.
	both, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = both.Close() }()
	f.wants(true, "replay --out "+pipe)
	if kind(t, pipe) != fs.ModeNamedPipe {
		t.Fatal(kind(t, pipe))
	}
	got := make([]byte, len(want)+1)
	if n, err := both.Read(got); err != nil || string(got[:n]) != want {
		t.Errorf("%s %v", got[:n], err)
	}
}

func kind(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Type()
}
