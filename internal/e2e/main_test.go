package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// insideEnv tells a run of this test program that it is in a network namespace
// of its own, and where the programs are: see TestNoOutsideConnection.
const insideEnv = "VESTNIK_E2E_ALONE"

// bin is the folder of the programs that this run has built.
var bin string

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	if bin = os.Getenv(insideEnv); bin != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "vestnik-e2e-")
	if err != nil {
		return 1, fmt.Errorf("folder for the programs: %w", err)
	}
	defer os.RemoveAll(dir)
	bin = dir
	if err := build(dir, "vestnik/cmd/...", natsServer); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// natsServer is the stock program, of the version that is in the edge: a hub's servers.
const natsServer = "github.com/nats-io/nats-server/v2"

// build compiles commands into a folder.
func build(dir string, packages ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", dir + string(filepath.Separator)}, packages...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", packages, err, out)
	}
	return nil
}

// program is the path of one of the programs.
func program(name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(bin, name)
}
