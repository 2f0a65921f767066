package faultfs

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Mount mounts an empty disk on a folder of the test, until the test ends; the
// programs that use it must have ended by then.
//
// Where FUSE may not be used the test is skipped, with the reason. In the continuous
// integration (CI=true) it fails instead if the machine permits mounting and only
// the device /dev/fuse is missing: that is a machine to be mended, and promises
// that nobody tests are none.
func Mount(t testing.TB, o Options) *Disk {
	t.Helper()
	if why, mend := unusable(); why != "" {
		if mend && os.Getenv("CI") == "true" {
			t.Fatalf("power cuts and disk faults need FUSE: %s", why)
		}
		t.Skipf("power cuts and disk faults need FUSE: %s", why)
	}
	d := newDisk(t.TempDir(), o)
	server, err := fuse.NewServer(newRaw(d), d.Path, &fuse.MountOptions{
		FsName: "faultfs", Name: "faultfs", DirectMount: true, DisableXAttrs: true, DisableReadDirPlus: true, DisableSplice: true, MaxWrite: 1 << 20,
	})
	if err != nil {
		t.Fatalf("mount a disk at %s: %v", d.Path, err)
	}
	go server.Serve()
	t.Cleanup(func() { // before the folder is removed
		if server.Unmount() != nil { // something has a file open
			_ = syscall.Unmount(d.Path, syscall.MNT_DETACH)
		}
		server.Wait()
	})
	if err := server.WaitMount(); err != nil {
		t.Fatalf("mount a disk at %s: %v", d.Path, err)
	}
	return d
}

// unusable says why FUSE cannot be used here, "" if it can; mend, whether the
// machine would permit it.
func unusable() (why string, mend bool) {
	_, err := exec.LookPath("fusermount3")
	if err != nil {
		_, err = exec.LookPath("fusermount")
	}
	if err != nil && !mayMount() {
		return "this process may not mount (CAP_SYS_ADMIN), and there is no fusermount", false
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprint(err), os.IsNotExist(err) && mayMount()
	}
	_ = f.Close()
	return "", false
}

// mayMount tells whether the process has the capability CAP_SYS_ADMIN.
func mayMount() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(status), "CapEff:")
	field, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
	set, err := strconv.ParseUint(field, 16, 64)
	const sysAdmin = 21 // capabilities(7)
	return err == nil && set&(1<<sysAdmin) != 0
}
