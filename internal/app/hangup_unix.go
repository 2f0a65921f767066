//go:build unix

package app

import (
	"os"
	"syscall"
)

// hangup is the signal that reloads.
func hangup() os.Signal { return syscall.SIGHUP }
