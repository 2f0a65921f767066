//go:build unix

package broker

import "golang.org/x/sys/unix"

// FreeDisk is what an ordinary user may still write to the file system of dir, in bytes.
func FreeDisk(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // other widths on other systems
}
