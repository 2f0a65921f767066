package simulate

import (
	"context"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

var update = flag.Bool("update", false, "write the expected answers anew")

// startApplication serves an application till the test ends.
func startApplication(t *testing.T, o ApplicationOptions) (*Application, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := NewApplication(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return a, ln.Addr().String()
}

// exchange sends a message and gives the answer's body.
func exchange(t *testing.T, addr, message string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answer, err := Send(ctx, addr, "URAL", frame.BigEndian, []byte(message))
	return string(answer), err
}

// ask sends commands and reads the answer.
func ask(t *testing.T, addr, atm string, commands ...command.Command) command.Answer {
	t.Helper()
	body, err := exchange(t, addr, string(proatm.Monitoring(atm, commands)))
	if err != nil {
		t.Fatalf("%s %v: %v", atm, commands, err)
	}
	a, err := proatm.ParseCommandAnswer([]byte(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return a
}

func order(id, name string, params ...string) command.Command {
	c := command.Command{ID: id, Name: name}
	for _, p := range params {
		c.Params = append(c.Params, command.Param{Value: p})
	}
	return c
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// Every file of testdata/answers is a message, dashes, and the application's answer to
// it byte for byte; -update writes the answers anew.
func TestAnswersAreTheManuals(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/answers/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			_, addr := startApplication(t, ApplicationOptions{ATM: "40"})
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			message, want, _ := strings.Cut(string(text), "\n--------\n")
			got, err := exchange(t, addr, message)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				os.WriteFile(file, []byte(message+"\n--------\n"+got), 0o600)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, err := proatm.ParseCommandAnswer([]byte(got)); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}
