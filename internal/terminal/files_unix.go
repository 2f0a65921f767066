//go:build unix

package terminal

import (
	"math"
	"syscall"
)

// openFiles is how many files the process may have open, 0 = not known. (Go raises
// the soft limit to the hard one at start.)
func openFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}
