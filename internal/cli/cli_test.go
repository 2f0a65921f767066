package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const good = "atm: 40\nterminal { signatures { URAL: uralsib } }\n"

// put writes a configuration with its rules and returns its path.
func put(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"vestnik.conf": text, "rules.xml": "<rules/>"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "vestnik.conf")
}

type result struct {
	code        int
	out, errors string
}

func runs(run Program, args ...string) result {
	var out, errs bytes.Buffer
	code := Run(context.Background(), "edge", args, &out, &errs, run)
	return result{code, out.String(), errs.String()}
}

func notStarted(context.Context, *config.Config, zerolog.Logger, *Renewal) error {
	return errors.New("the program was started")
}

func TestRunGetsItsConfiguration(t *testing.T) {
	t.Parallel()
	path := put(t, good+"mailbox { }\n")
	var atm string
	r := runs(func(_ context.Context, cfg *config.Config, log zerolog.Logger, _ *Renewal) error {
		atm = cfg.ATM
		log.Info().Msg("ready")
		return nil
	}, "-c", path)
	if r.code != 0 || atm != "00000040" || r.out != "" {
		t.Errorf("code %d, atm %q, out %q, %s", r.code, atm, r.out, r.errors)
	}
	for _, want := range []string{`"message":"starting"`, `"digest":"sha256:`, "mailbox: not used by this version", `"message":"ready"`} {
		if !strings.Contains(r.errors, want) {
			t.Errorf("no %s in\n%s", want, r.errors)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	path, bad := put(t, good), put(t, "atm: x\nlisten: 1\n")
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	valid := fmt.Sprintf("edge: configuration file %s is valid (%s)\n", path, cfg.Digest)
	missing := filepath.Join(t.TempDir(), "none.conf")
	usage := func(text string) string { return "edge: " + text + "\nRun \"edge -h\" for help.\n" }
	for name, test := range map[string]struct {
		args []string
		want result
	}{
		"test":            {[]string{"-t", "-c", path}, result{0, "", valid}},
		"test, long form": {[]string{"--config", path, "-t"}, result{0, "", valid}},
		"version":         {[]string{"--version"}, result{0, "edge " + Version() + "\n", ""}},
		"short version":   {[]string{"-v"}, result{0, "edge " + Version() + "\n", ""}},
		"missing file":    {[]string{"-c", missing}, result{1, "", "edge: " + missing + ": no such file (vestnik init writes one, -c FILE names another)\n"}},
		"unknown flag":    {[]string{"-x"}, result{1, "", usage("flag provided but not defined: -x")}},
		"argument":        {[]string{"-t", "vestnik.conf"}, result{1, "", usage(`unexpected argument "vestnik.conf"`)}},
		"problems": {[]string{"-t", "-c", bad}, result{1, "", bad + ":1:1: atm: must be the terminal's number of 1 to 8 digits, such as \"00000040\"\n" +
			bad + ":1:1: signatures is missing: terminal { signatures { URAL: [uralsib] } }\n" + bad + ":2:1: unknown key \"listen\"\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := runs(notStarted, test.args...); got != test.want {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	t.Parallel()
	if r := runs(notStarted, "-h"); r.code != 0 || r.errors != "" || !strings.HasPrefix(r.out, "Usage: edge [flags]\n") {
		t.Errorf("%+v", r)
	}
}

// -t tells everything that is wrong: the files that are named, and the program's own checks.
func TestTestTellsAll(t *testing.T) {
	t.Parallel()
	path := put(t, good+"nats { creds: \"none.creds\" }\nmailbox { }\n")
	var errs bytes.Buffer
	code := Run(context.Background(), "edge", []string{"-t", "-c", path}, &errs, &errs, notStarted,
		func(*config.Config) error { return errors.New("rules.xml:1:1: bad") },
		func(*config.Config) error { return nil })
	none := filepath.Join(filepath.Dir(path), "none.creds")
	want := path + ":4:1: mailbox: not used by this version\n" + path + ":3:8: nats.creds: " + none + ": no such file\nrules.xml:1:1: bad\n"
	if code != 1 || errs.String() != want {
		t.Errorf("code %d\ngot  %s\nwant %s", code, &errs, want)
	}
}

func TestStartErrorIsOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, wrap := range []string{"%w", "listen on " + addr + ": %w"} {
		r := runs(func(context.Context, *config.Config, zerolog.Logger, *Renewal) error {
			_, err := net.Listen("tcp", addr)
			return fmt.Errorf(wrap, err)
		}, "-c", put(t, good+"log { level: error }"))
		cause, found := strings.CutPrefix(r.errors, "edge: listen on "+addr+": ")
		if r.code != 1 || !found || strings.Count(cause, "\n") != 1 || strings.Contains(cause, ": ") {
			t.Errorf("%+v", r)
		}
	}
}

func TestCancelledIsACleanEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errs bytes.Buffer
	wait := func(ctx context.Context, _ *config.Config, _ zerolog.Logger, _ *Renewal) error {
		<-ctx.Done()
		return fmt.Errorf("serve: %w", ctx.Err())
	}
	if code := Run(ctx, "edge", []string{"-c", put(t, good+"log { level: error }")}, &errs, &errs, wait); code != 0 || errs.Len() > 0 {
		t.Errorf("code %d, %s", code, &errs)
	}
}

func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	signals, killed := make(chan os.Signal), make(chan struct{})
	ctx, stop := Interruptible(context.Background(), signals, func() { close(killed) })
	defer stop()
	if ctx.Err() != nil {
		t.Fatal("ended before any signal")
	}
	signals <- os.Interrupt
	select {
	case <-ctx.Done():
	case <-killed:
		t.Fatal("killed by the first signal")
	case <-time.After(5 * time.Second):
		t.Fatal("not ended by the first signal")
	}
	signals <- os.Interrupt
	select {
	case <-killed:
	case <-time.After(5 * time.Second):
		t.Fatal("not killed by the second signal")
	}
}
