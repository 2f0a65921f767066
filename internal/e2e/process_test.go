package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is one life of a program.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   *output
	ended chan struct{} // closed when it has been waited for
	err   error         // of Wait, valid after ended
}

// start runs a program; the test's end kills it if nobody did before.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, name, exec.Command(program(name), args...))
}

// startCommand is start for a command of one's own making.
func startCommand(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	return startBy(t, name, cmd, (*exec.Cmd).Start)
}

// startBy is startCommand for one who starts it elsewhere.
func startBy(t *testing.T, name string, cmd *exec.Cmd, begin func(*exec.Cmd) error) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: &output{changed: make(chan struct{})}, ended: make(chan struct{})}
	p.cmd.Stderr = p.log
	p.cmd.Env = append(os.Environ(), "NATS_URL=", "NATS_CONTEXT=")
	if err := begin(p.cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s, process %d:\n%s", name, p.cmd.Process.Pid, p.log.told(6000))
		}
	})
	return p
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// stop ends the process cleanly and asks for exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" { // no signals there
		p.kill()
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not stop", p.name)
	}
	if p.err != nil {
		t.Errorf("%s ends with %v", p.name, p.err)
	}
}

// ready waits for the log line that says so.
func (p *process) ready(t *testing.T) *process {
	t.Helper()
	p.logged(t, `"message":"ready"`)
	return p
}

// logged waits for a log line that contains text.
func (p *process) logged(t *testing.T, text string) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		has, changed := p.log.contains(text)
		if has {
			return
		}
		select {
		case <-changed:
		case <-p.ended:
			if has, _ := p.log.contains(text); !has {
				t.Fatalf("%s ended (%v) without logging %q:\n%s", p.name, p.err, text, p.log.tail(4000))
			}
			return
		case <-limit.C:
			t.Fatalf("%s does not log %q:\n%s", p.name, text, p.log.tail(4000))
		}
	}
}

// output collects what a process prints.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) contains(text string) (bool, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.text.Bytes(), []byte(text)), o.changed
}

// told is the end of the log without what is for debugging.
func (o *output) told(n int) string {
	var b strings.Builder
	for line := range strings.Lines(o.tail(1 << 20)) {
		if !strings.Contains(line, `"level":"debug"`) {
			b.WriteString(line)
		}
	}
	s := b.String()
	return s[max(0, len(s)-n):]
}

func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.text.String()
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return s
}

// run runs a command to its end and returns what it printed and its exit code.
func run(t *testing.T, env []string, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(append(os.Environ(), "NATS_URL=", "NATS_CONTEXT="), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%s %s does not end:\n%s", path, strings.Join(args, " "), errs.String())
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		t.Fatal(fmt.Errorf("run %s: %w", path, err))
	}
	return out.String(), errs.String(), code
}
