//go:build !linux

package faultfs

import "testing"

// Mount skips the test: there is no FUSE here.
func Mount(t testing.TB, o Options) *Disk {
	t.Helper()
	t.Skip("power cuts and disk faults are tested on Linux, through FUSE")
	return newDisk("", o)
}
