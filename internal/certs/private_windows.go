package certs

import "os"

// Private is left to the access list of the folder: a file's mode says nothing here.
func Private(path string) error {
	if _, err := os.Stat(path); err != nil {
		return plain(path, err)
	}
	return nil
}
