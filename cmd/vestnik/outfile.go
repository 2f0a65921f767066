package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// outFile is a file that a flag names, while it is written. A new one, and one in the place
// of a regular file, appears when it is whole. What is no file, as a device or a named pipe,
// is written into: it stays what it is. A link stays, its target is written.
type outFile struct {
	*os.File
	path   string // under which it appears
	direct bool   // the file is what path names
}

// createFile waits for a named pipe's reader until ctx ends.
func createFile(ctx context.Context, name string) (*outFile, error) {
	info, err := os.Stat(name)
	_, linkErr := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && linkErr == nil:
		return nil, fmt.Errorf("write %s: it is a link to what is not there", name)
	case errors.Is(err, fs.ErrNotExist):
		return besides(name)
	case err != nil:
		return nil, fmt.Errorf("write: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("write %s: it is a folder", name)
	case !info.Mode().IsRegular():
		return openDirect(ctx, name)
	}
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return besides(target)
}

func besides(path string) (*outFile, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return &outFile{File: f, path: path}, nil
}

func openDirect(ctx context.Context, name string) (*outFile, error) {
	type opened struct {
		*os.File
		error
	}
	got := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // the operator names it
		got <- opened{f, err}
	}()
	select {
	case one := <-got:
		if one.error != nil {
			return nil, fmt.Errorf("write: %w", one.error)
		}
		return &outFile{File: one.File, path: name, direct: true}, nil
	case <-ctx.Done(): // the program ends, and with it the waiting
		return nil, fmt.Errorf("write %s: nobody reads it: %w", name, context.Cause(ctx))
	}
}

// end closes it; if it was written without an error it appears, else it does not.
func (f *outFile) end(failed error) error {
	if f.direct {
		return cmp.Or(failed, f.Close())
	}
	err := failed
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error says more
	}
	return err
}
