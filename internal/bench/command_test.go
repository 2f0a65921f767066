package bench_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/audit"
	"vestnik/internal/broker"
	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/control"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
	"vestnik/internal/terminal"
	"vestnik/streams"
)

// ask is a synchronous command as the manual has it.
const ask = `<?xml version='1.0' encoding='UTF-8'?><monitoring><command id='1' name='GET_STATUS'><param value='CIM'/></command></monitoring>`

// BenchmarkCommandRoundTrip: a command by NATS through the edge, journaled before and
// after, against the same command sent to the application itself. They take turns; above-µs is
// what the edge adds at p50 (the aim: 2,000 at most).
func BenchmarkCommandRoundTrip(b *testing.B) {
	const rounds = 2000
	addr := startApplication(b)
	nc, stop := startCommanded(b, addr)
	defer stop()
	for b.Loop() {
		var direct, edge []time.Duration
		for range rounds {
			begun := time.Now()
			if _, err := simulate.Send(b.Context(), addr, "URAL", frame.BigEndian, []byte(ask)); err != nil {
				b.Fatal(err)
			}
			direct = append(direct, time.Since(begun))
			begun = time.Now()
			answered(b, nc, "00000040")
			edge = append(edge, time.Since(begun))
		}
		slices.Sort(direct)
		slices.Sort(edge)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(micros(direct[rounds/2]), "application-p50-µs")
		b.ReportMetric(micros(edge[rounds/2]), "edge-p50-µs")
		b.ReportMetric(micros(edge[rounds/2]-direct[rounds/2]), "above-µs")
		b.ReportMetric(micros(edge[rounds*99/100]), "edge-p99-µs")
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// BenchmarkCommandBesideIntake: the intake of 16 terminals with and without ten commands a
// second, in turns, the best of five each; x-accepted is the ratio (the aim: 0.95 at least).
func BenchmarkCommandBesideIntake(b *testing.B) {
	application := startApplication(b)
	with := func(commands bool) func(b *testing.B, sink string) (string, func()) {
		return func(b *testing.B, sink string) (string, func()) {
			s, stop := startEdge(b, sink, fmt.Sprintf("application: %q", application))
			if !commands {
				return s.Terminal.String(), stop
			}
			nc, err := s.Connect("operator")
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var asking sync.WaitGroup
			asking.Go(func() {
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					answered(b, nc, "00000040")
					select {
					case <-tick.C:
					case <-ctx.Done():
					}
				}
			})
			return s.Terminal.String(), func() { cancel(); asking.Wait(); nc.Close(); stop() }
		}
	}
	for b.Loop() {
		var quiet, busy result
		for range 5 {
			quiet = quiet.best(run(b, 16, with(false)))
			busy = busy.best(run(b, 16, with(true)))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(busy.accepted, "accepted/s")
		b.ReportMetric(busy.accepted/quiet.accepted, "x-accepted")
	}
}

// BenchmarkCommandCrowd: 200 terminals in one process, each with its checks, journal and
// memory, before one application that plays them all, are asked at once; against 200 bare
// responders (the aim: 2,000 ms at most).
func BenchmarkCommandCrowd(b *testing.B) {
	const terminals = 200
	nc := startCrowd(b, terminals)
	for b.Loop() {
		var bare, ours []time.Duration
		for range 5 {
			bare = append(bare, askAll(b, nc, terminals, "bare."))
			ours = append(ours, askAll(b, nc, terminals, "cmd."))
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(micros(slices.Min(ours))/1000, "all-ms")
		b.ReportMetric(micros(slices.Max(ours))/1000, "worst-ms")
		b.ReportMetric(micros(slices.Min(bare))/1000, "bare-ms")
	}
}

func askAll(b *testing.B, nc *nats.Conn, terminals int, prefix string) time.Duration {
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range terminals {
		wg.Go(func() {
			subject := prefix + streams.Terminal(fmt.Sprint(i+1)) + "." + command.GetStatus
			m, err := nc.Request(subject, []byte("CIM"), 30*time.Second)
			if err != nil || !strings.Contains(string(m.Data), "status device_name=") {
				b.Errorf("%s: %v", subject, err)
			}
		})
	}
	wg.Wait()
	return time.Since(begun)
}

// answered asks by NATS and wants the device's status.
func answered(b *testing.B, nc *nats.Conn, atm string) {
	m, err := nc.Request(streams.Cmd(atm, command.GetStatus), []byte("CIM"), 30*time.Second)
	if err != nil || !strings.Contains(string(m.Data), "status device_name=") {
		b.Errorf("%v %v", m, err)
	}
}

func startApplication(b *testing.B) string {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	app := simulate.NewApplication(simulate.ApplicationOptions{Keep: 10})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- app.Serve(ctx, ln) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}

// startCommanded runs an edge and returns an operator's connection to it.
func startCommanded(b *testing.B, application string) (*nats.Conn, func()) {
	b.Helper()
	s, stop := startEdge(b, "http://127.0.0.1:1", fmt.Sprintf("application: %q", application))
	nc, err := nats.Connect(s.NATS)
	if err != nil {
		b.Fatal(err)
	}
	return nc, func() { nc.Close(); stop() }
}

// startCrowd makes terminals' edges without their ports, on one broker.
func startCrowd(b *testing.B, terminals int) *nats.Conn {
	b.Helper()
	srv, err := broker.Start(broker.Options{Dir: filepath.Join(b.TempDir(), "data"), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(srv.Close)
	connect := func() *nats.Conn {
		nc, err := srv.Connect("bench")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		return nc
	}
	nc := connect()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := audit.Prepare(b.Context(), js, 1<<30, time.Hour); err != nil {
		b.Fatal(err)
	}
	application := startApplication(b)
	bare := []byte("status device_name=" + strings.Repeat("x", 900)) // about as long
	for i := range terminals {
		atm := streams.Terminal(fmt.Sprint(i + 1))
		journal := audit.NewJournal(atm, zerolog.Nop())
		journal.Open(b.Context(), js)
		once := &audit.Once{Journal: journal, Window: time.Minute, Now: clock.Now, Log: zerolog.Nop(),
			Next: terminal.NewApplication(terminal.ApplicationOptions{Addr: application, ATM: atm, Signature: "URAL"})}
		checks := &command.Checks{ATM: atm, Next: once, Refuse: func() *code.Error { return nil }, Refused: journal.Refused,
			Same: func(n string) bool { full, err := proatm.Terminal(n); return err == nil && full == atm }}
		own := connect()
		door, err := control.OpenCommands(own, control.Commands{ATM: atm, Version: "1.0.0", Executor: checks, Log: zerolog.Nop(),
			Refused: func(context.Context, command.Message, command.Answer) {}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(door.Close)
		if _, err := own.Subscribe("bare."+atm+".>", func(m *nats.Msg) { _ = m.Respond(bare) }); err != nil {
			b.Fatal(err)
		}
		if err := own.Flush(); err != nil { // the broker has the subscription
			b.Fatal(err)
		}
	}
	return nc
}
