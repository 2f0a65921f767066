package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// probeSize is what a probe asks of the disk: a message of each stream and the
// server's own files have room in it.
const probeSize = 4 << 20

const probeFile = "vestnik.probe"

// Probe tells whether the store folder can be written: a file is made there,
// synced and removed.
func Probe(dir string) (err error) {
	path := filepath.Join(dir, probeFile)
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	defer func() {
		if removed := os.Remove(path); err == nil && removed != nil {
			err = fmt.Errorf("probe the disk: %w", removed)
		}
	}()
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = byte(i) // no hole, whatever the file system makes of zeros
	}
	for n := 0; err == nil && n < probeSize; n += len(chunk) {
		_, err = f.Write(chunk)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("probe the disk: %w", err)
	}
	return nil
}
