package broker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// resyncWindow is how much older than the newest file of its folder a file may be
// to have been written in the time that one failed sync stands for.
const resyncWindow = 5 * syncInterval

// resync writes the newest files of the store again, byte for byte, and syncs them.
//
// When a sync fails, the system keeps what was written in memory, takes it for
// written, and the next sync says yes: what a server reads at its start may not be
// on the disk. An event that is stored behind such a gap and answered 0 would go
// with it at a power cut, for a block is read up to its first damage (DESIGN facts
// 6 and 7). What is written again, the next sync does put there.
func resync(dir string) error {
	var errs []error
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			errs = append(errs, resyncFolder(path))
		}
		return nil
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("write the newest of the store again: %w", err)
	}
	return nil
}

func resyncFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	times := map[string]time.Time{}
	var newest time.Time
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			continue // gone, or nothing in it
		}
		times[e.Name()] = info.ModTime()
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	for name, at := range times {
		if newest.Sub(at) <= resyncWindow {
			if err := rewrite(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return syncFolder(dir)
}

// rewrite puts a file's bytes where they are: a crash in the middle changes nothing.
func rewrite(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); err == nil; {
		var n int
		if n, err = f.ReadAt(buf, at); n > 0 {
			if _, werr := f.WriteAt(buf[:n], at); werr != nil {
				err = werr
			}
		}
		at += int64(n)
	}
	if errors.Is(err, io.EOF) {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders are not synced there
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
