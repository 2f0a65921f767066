package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// The shipped nats.conf is a nats.conf: a stock nats-server accepts it.
func TestStockServerTakesNatsConf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := build(dir, "github.com/nats-io/nats-server/v2"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "nats-server*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	conf, err := filepath.Abs(filepath.Join("..", "..", "deploy", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, code := run(t, nil, files[0], "-t", "-c", conf)
	if code != 0 || !strings.Contains(stderr, "is valid") {
		t.Errorf("exit %d:\n%s", code, stderr)
	}
}

// The stock nats command sees the streams, and an operator reads the events with
// it: Cyrillic as it is, also where several events were stored as one batch.
func TestStockCommandReadsEvents(t *testing.T) {
	t.Parallel()
	cli := os.Getenv("VESTNIK_NATS_CLI")
	if cli == "" {
		t.Skip("VESTNIK_NATS_CLI does not name the stock nats command: make e2e builds it")
	}
	_, setting := application(t, simulate.ApplicationOptions{})
	s := runSite(t, settings{URAL: "uralsib, proxima", Rules: manualRules("count_5"), Limits: setting})
	s.accept("URAL", exampleEvent)
	await(t, s.proxima.Monitor, 1)
	batch(t, s)
	env := []string{"XDG_CONFIG_HOME=" + t.TempDir(), "NATS_URL=nats://" + s.nats}
	nats := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := run(t, env, cli, args...)
		if code != 0 {
			t.Fatalf("nats %q: exit %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout + stderr
	}
	const cyrillic = "Запущено терминальное ПО ProATM"
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"stream", "ls", "--names"}, []string{"EVENTS", "ROUTE", "DONE"}},
		{[]string{"stream", "info", "EVENTS"}, []string{"Events as the terminals sent them", "in.>"}},
		{[]string{"stream", "subjects", "ROUTE"}, []string{"out.uralsib.normal.00000040.normal", "out.proxima.normal.00000040.normal"}},
		{[]string{"stream", "get", "EVENTS", "1"}, []string{cyrillic, "proatm.event", "/terminals/00000040"}},
		{[]string{"stream", "get", "ROUTE", "--last-for", "out.uralsib.normal.00000040.normal"}, []string{cyrillic}},
		{[]string{"stream", "get", "EVENTS", "--last-for", "in.batch"}, []string{cyrillic, "application/cloudevents-batch+json"}},
		{[]string{"sub", "--stream", "EVENTS", "--all", "--count", "1"}, []string{cyrillic, "in.00000040.URAL"}},
		{[]string{"micro", "ls"}, []string{"vestnik", "terminal"}},
		{[]string{"req", "cmd.00000040.GET_STATUS", "CIM"}, []string{"Устройство готово к работе", "<result code='0'"}},
		{[]string{"req", "cmd.00000040.GET_CIM_NOTETYPES", `{"id":"n","params":["CIM.CashCode2"]}`}, []string{`"note_types"`, `"id":"n"`}},
		{[]string{"req", "cmd.00000040.RESET", ""}, []string{"code='103'", "Nats-Service-Error-Code: 103"}},
		{[]string{"micro", "info", "terminal"}, []string{"GET_STATUS", "cmd.00000040.GET_STATUS", "00000040"}},
		{[]string{"micro", "stats", "terminal"}, []string{"GET_STATUS", "RESET"}},
		{[]string{"stream", "get", "AUDIT", "--last-for", "audit.00000040.cmd"}, []string{`"kind":"refused"`, `"code":103`}},
	} {
		out := nats(c.args...)
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("nats %s does not show %q:\n%s", strings.Join(c.args, " "), want, out)
			}
		}
	}
}

// batch sends events from many connections until some were stored as one message.
func batch(t *testing.T, s *site) {
	t.Helper()
	_, js := s.connect()
	eventually(t, 20*time.Second, say("a batch in EVENTS"), func() bool {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() { s.accept("URAL", exampleEvent) })
		}
		wg.Wait()
		stream, err := js.Stream(t.Context(), streams.Events)
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.GetLastMsgForSubject(t.Context(), streams.InBatch)
		return err == nil
	})
}
