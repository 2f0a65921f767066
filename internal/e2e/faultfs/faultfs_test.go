package faultfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// append writes behind a file's end, and syncs it if so told.
func appendTo(t *testing.T, path, text string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if !sync {
		return
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func syncFolder(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// content is a file's text, "-" for a file that is not there.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func want(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: %q, want %q", what, got, wanted)
	}
}

func TestUnsyncedIsLost(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	appendTo(t, file, "one", true)
	appendTo(t, file, "two", false)
	want(t, "before the cut", content(t, file), "onetwo")
	if lost := d.Cut(All); lost.Bytes != 3 || lost.Files != 1 || lost.Names != 0 {
		t.Errorf("lost %+v", lost)
	}
	want(t, "after the cut", content(t, file), "one")
	appendTo(t, file, "2", false)
	d.Sync()
	d.Cut(All)
	want(t, "after Sync and a cut", content(t, file), "one2")
}

func TestSyncedAtEachWrite(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	d.Cut(All)
	want(t, "O_SYNC", content(t, file), "kept")
	if _, err := f.WriteString("more"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a handle from before the cut: %v", err)
	}
}

// What each rule for names keeps of a new file, synced, and of a rename.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names                     Names
		made, renamed, afterwards string
	}{{WithFile, "x", "old", "new"}, {Strict, "-", "old", "new"}} {
		t.Run(c.names.String(), func(t *testing.T) {
			t.Parallel()
			d := Mount(t, Options{Names: c.names})
			at := func(name string) string { return filepath.Join(d.Path, name) }
			rename := func() {
				_ = os.Remove(at("r.tmp")) // the cut may have kept it
				appendTo(t, at("r.tmp"), "new", true)
				if err := os.Rename(at("r.tmp"), at("r")); err != nil {
					t.Fatal(err)
				}
			}
			appendTo(t, at("r"), "old", true)
			syncFolder(t, d.Path)
			appendTo(t, at("made"), "x", true)
			rename()
			d.Cut(All)
			want(t, "new file", content(t, at("made")), c.made)
			want(t, "renamed", content(t, at("r")), c.renamed)
			rename()
			syncFolder(t, d.Path)
			d.Cut(All)
			want(t, "renamed, folder synced", content(t, at("r")), c.afterwards)
		})
	}
}

// The file of length zero after a crash: the truncation goes with the journal,
// the new bytes do not.
func TestRewrittenInPlace(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	appendTo(t, file, "old", true)
	if err := os.WriteFile(file, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	appendTo(t, filepath.Join(d.Path, "b"), "x", true)
	d.Cut(All)
	want(t, "rewritten in place", content(t, file), "")
}

// What survives by chance is part of what was written, behind what was synced;
// the same seed decides alike.
func TestTornAndPages(t *testing.T) {
	t.Parallel()
	for _, loss := range []Loss{Torn, Pages} {
		t.Run(loss.String(), func(t *testing.T) {
			t.Parallel()
			var left [2][]string
			for i := range left {
				left[i] = survivors(t, loss)
			}
			if !slices.Equal(left[0], left[1]) {
				t.Error("the same seed decides in two ways")
			}
			part := slices.ContainsFunc(left[0], func(s string) bool {
				return strings.Contains(s, "\x00") || len(s) > 2*pageSize && len(s) < 8*pageSize
			})
			if !part {
				t.Error("nothing survived in part in six cuts")
			}
		})
	}
}

func survivors(t *testing.T, loss Loss) (list []string) {
	d := Mount(t, Options{Seed: 7})
	synced := strings.Repeat("a", pageSize) + strings.Repeat("b", pageSize)
	for _, name := range strings.Split("uvwxyz", "") {
		file := filepath.Join(d.Path, name)
		for i := range 8 {
			appendTo(t, file, strings.Repeat(string(rune('a'+i)), pageSize), i < 2)
		}
		d.Cut(loss)
		list = append(list, content(t, file))
		if !strings.HasPrefix(list[len(list)-1], synced) {
			t.Errorf("%s: synced bytes are lost", loss)
		}
	}
	return list
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	appendTo(t, file, "x", true)
	d.Capacity(d.Used() + 2*pageSize)
	if err := os.WriteFile(file, make([]byte, 4*pageSize), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than there is room for: %v", err)
	}
	if err := os.WriteFile(file, make([]byte, pageSize), 0o600); err != nil {
		t.Errorf("what there is room for: %v", err)
	}
	if d.Counts().Full == 0 {
		t.Error("not counted")
	}
	d.Heal()
	if err := os.WriteFile(file, make([]byte, 4*pageSize), 0o600); err != nil {
		t.Errorf("healed: %v", err)
	}
}

func TestFailingDisk(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	d.FailWrites(syscall.EIO, 3)
	appendTo(t, file, "abc", true)
	if err := os.WriteFile(file+"2", []byte("d"), 0o600); !errors.Is(err, syscall.EIO) {
		t.Errorf("write: %v", err)
	}
	d.FailReads(syscall.EIO)
	if _, err := os.ReadFile(file); !errors.Is(err, syscall.EIO) {
		t.Errorf("read: %v", err)
	}
	if n := d.Counts().Failed; n != 2 {
		t.Errorf("%d failures counted", n)
	}
	d.Heal()
	want(t, "healed", content(t, file), "abc")
}

// As on Linux: the fsync that fails says so once, the next one lies.
func TestFailingFsync(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	file := filepath.Join(d.Path, "a")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d.FailFsync(1)
	if _, err := f.WriteString("never on the disk"); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("first fsync: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("second fsync: %v", err)
	}
	want(t, "seen by programs", content(t, file), "never on the disk")
	d.Cut(All)
	want(t, "after a cut", content(t, file), "")
}

// A slow fsync covers what was written before it began.
func TestSlowFsync(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{FsyncDelay: 300 * time.Millisecond})
	file := filepath.Join(d.Path, "a")
	done := make(chan struct{})
	go func() { defer close(done); appendTo(t, file, "one", true) }()
	for len(d.Files()) == 0 || d.Counts().Writes == 0 {
		time.Sleep(time.Millisecond) // between two looks
	}
	time.Sleep(50 * time.Millisecond) // its fsync has begun
	appendTo(t, file, "two", false)
	<-done
	d.Cut(All)
	want(t, "after the cut", content(t, file), "one")
}

// What is on its way when the power fails does not reach the disk.
func TestOff(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{FsyncDelay: 300 * time.Millisecond})
	file := filepath.Join(d.Path, "a")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("lost"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.Sync() }()
	time.Sleep(50 * time.Millisecond) // the fsync has begun
	d.Off()
	if err := <-done; !errors.Is(err, syscall.EIO) {
		t.Errorf("fsync: %v", err)
	}
	if _, err := os.Create(file + "2"); !errors.Is(err, syscall.EIO) {
		t.Errorf("create: %v", err)
	}
	d.Cut(All)
	want(t, "after the cut", content(t, file), "-")
	appendTo(t, file, "new", false)
}

func TestDamage(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	if err := os.Mkdir(filepath.Join(d.Path, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(d.Path, "folder", "a")
	appendTo(t, file, "abc", false)
	if err := d.Flip("folder/a", -1, 1); err != nil {
		t.Fatal(err)
	}
	want(t, "flipped", content(t, file), "aba")
	if err := d.Shorten("folder/a", 2); err != nil {
		t.Fatal(err)
	}
	d.Sync()
	d.Cut(All)
	want(t, "shortened", content(t, file), "ab")
	if err := d.Flip("folder/a", 2, 0); err == nil {
		t.Error("a byte behind the end")
	}
	if list := d.Files(); !slices.Equal(list, []string{"folder/a"}) {
		t.Errorf("files %q", list)
	}
}

// A file that is larger than one request of the kernel's comes back as it was.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	big := bytes.Repeat([]byte("Вестник"), 1<<18)
	file := filepath.Join(d.Path, "big")
	if err := os.WriteFile(file, big, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Sync()
	d.Cut(Pages)
	if content(t, file) != string(big) {
		t.Error("changed")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	d.Cut(All)
	if content(t, file) == "-" {
		t.Error("a removal that was not synced is durable")
	}
}

func TestOnly(t *testing.T) {
	t.Parallel()
	d := Mount(t, Options{})
	for _, dir := range []string{"good", "bad"} {
		if err := os.Mkdir(filepath.Join(d.Path, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.FailWrites(syscall.EIO, 0)
	d.Only("bad/")
	appendTo(t, filepath.Join(d.Path, "good", "a"), "one", true)
	if err := os.WriteFile(filepath.Join(d.Path, "bad", "a"), []byte("one"), 0o600); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write that is to fail: %v", err)
	}
	d.Heal()
	appendTo(t, filepath.Join(d.Path, "bad", "a"), "one", true)
}
