//go:build unix

package certs

import (
	"fmt"
	"os"
)

// Private refuses a file that everybody on this computer may read or write. The
// group may: keys are often shared with one group.
func Private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return plain(path, err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fmt.Errorf("%s: everybody on this computer may read or change it (mode %04o): chmod o= %s", path, mode, path)
	}
	return nil
}
