package terminal

import (
	"errors"
	"runtime"
	"slices"
	"syscall"
)

// Errors of Windows sockets that the package syscall has no names for.
const (
	wsaTooManyFiles = syscall.Errno(10024) // WSAEMFILE
	wsaNoBuffers    = syscall.Errno(10055) // WSAENOBUFS
)

// shortage tells whether a connection could not be taken because the process or
// the system has run out of files or memory: that passes.
func shortage(err error) bool {
	var no syscall.Errno
	if !errors.As(err, &no) {
		return false
	}
	if runtime.GOOS == "windows" && (no == wsaTooManyFiles || no == wsaNoBuffers) {
		return true
	}
	return slices.Contains([]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM}, no)
}

// affordable is how many connections the port takes where the process may open
// so many files, 0 = without limit. The other half is for the store, whose streams
// freeze when they cannot open a file, and for what the edge hosts.
func affordable(connections, files int) int {
	if files == 0 {
		return connections
	}
	return max(1, min(connections, files/2))
}
