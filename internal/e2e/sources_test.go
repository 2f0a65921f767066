package e2e_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The programs are built by a command, and the test cache does not see what a
// command reads: it would call these tests passed for programs that have changed
// since. It does see the files that a test looks at: so this one looks at all that
// programs are made of.
func TestCacheSeesThePrograms(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	files := []string{filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")}
	for _, dir := range []string{"cmd", "deploy", "internal", "streams"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if !d.IsDir() {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	if len(files) < 100 {
		t.Errorf("%d files only: %q", len(files), files)
	}
}
