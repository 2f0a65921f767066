//go:build unix

package scrub

import "os"

// syncDir makes what was renamed in a folder outlive a power cut.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
