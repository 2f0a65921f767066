//go:build unix

package cli

import (
	"os"
	"syscall"
)

// Hangup is the signal that reloads.
func Hangup() os.Signal { return syscall.SIGHUP }
