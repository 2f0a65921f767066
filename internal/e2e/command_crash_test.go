package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/e2e/faultfs"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
)

// SPEC 7, Once: kill -9 at any moment between a command and its answer. Never executed
// twice, never forgotten: each has a result, 109 at worst. VESTNIK_ROUNDS is how many.
func TestCommandKill9(t *testing.T) {
	t.Parallel()
	r := newCommandRounds(t, newCommanded(t, settings{}, quick()))
	r.fail = func() { r.processes["edge"].kill() }
	r.run(number(t, "VESTNIK_ROUNDS", 50))
}

// The same by a power cut: what was journaled before it was executed is there.
func TestCommandPowerCut(t *testing.T) {
	t.Parallel()
	r := newCommandRounds(t, newCommanded(t, settings{}, quick()))
	disk := faultfs.Mount(t, faultfs.Options{Seed: r.seed, FsyncDelay: time.Millisecond})
	r.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n", r.nats, filepath.Join(disk.Path, "data")))
	i := 0
	r.fail = func() {
		disk.Off()
		r.processes["edge"].kill()
		disk.Cut(losses[i%len(losses)])
		i++
	}
	r.run(powerRounds(t, 6))
}

type commandRounds struct {
	*commanded
	seed uint64
	rng  *rand.Rand
	fail func()

	executing chan struct{} // has one element when the application has executed something
	answers   map[code.Code]int
	twice     int // of the first answers that came, how many said what the second said
}

func newCommandRounds(t *testing.T, c *commanded) *commandRounds {
	seed := uint64(number(t, "VESTNIK_SEED", int(rand.Uint32())))
	t.Logf("VESTNIK_SEED=%d go test -count=1 -v -run '^%s$' ./internal/e2e", seed, t.Name())
	r := &commandRounds{commanded: c, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), executing: make(chan struct{}, 1), answers: map[code.Code]int{}}
	c.app.OnCommand(func(simulate.Executed) {
		select {
		case r.executing <- struct{}{}:
		default:
		}
	})
	c.app.Change(func(b *simulate.ApplicationBehaviour) { b.Delay = 4 * time.Millisecond })
	return r
}

func (r *commandRounds) run(rounds int) {
	r.start(programs[0])
	for i := range rounds {
		r.round(fmt.Sprint(1000 + i))
	}
	r.forgotten()
	r.t.Logf("%d rounds: second answers by code %v, %d first answers came before the end", rounds, r.answers, r.twice)
	r.processes["edge"].stop(r.t)
}

// round sends a command, fails in the middle, starts again, and sends it again.
func (r *commandRounds) round(id string) {
	name := []string{"RESET", "GO_IN_SERVICE", "GO_OUT_OF_SERVICE"}[r.rng.IntN(3)]
	get := fmt.Sprintf("<command id='g%s' name='GET_STATUS'><param value='CIM'/></command>", id)
	act := fmt.Sprintf("<command id='%s' name='%s'><param value='CIM'/></command>", id, name)
	body := monitoring([]string{act, get + act, act + get}[r.rng.IntN(3)])
	var first atomic.Pointer[command.Answer]
	var sending sync.WaitGroup
	select {
	case <-r.executing: // of the round before
	default:
	}
	sending.Go(func() { first.Store(r.try(body)) })
	if r.rng.IntN(2) == 0 {
		select {
		case <-r.executing: // journaled, executed, not answered
		case <-time.After(10 * time.Second):
			r.t.Error("not executed")
		}
		time.Sleep(time.Duration(r.rng.IntN(6)) * time.Millisecond) // a moment by chance
	} else {
		time.Sleep(time.Duration(r.rng.IntN(12)) * time.Millisecond) // a moment by chance
	}
	r.fail()
	sending.Wait()
	before := r.executed(id)
	r.start(programs[0])
	again := r.frame(body)
	r.judge(id, before, first.Load(), again)
}

// try sends a message to an edge that may go away meanwhile; nil = no answer.
func (r *commandRounds) try(body string) *command.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := simulate.Send(ctx, r.terminal, "URAL", frame.BigEndian, []byte(body))
	if err != nil {
		return nil
	}
	a, err := proatm.ParseCommandAnswer(answer)
	if err != nil {
		r.t.Errorf("answer %s: %v", answer, err)
	}
	return &a
}

// executed is how often the acting command of a round was executed.
func (r *commandRounds) executed(id string) (n int) {
	for _, e := range r.app.Executed() {
		if e.ID == id {
			n++
		}
	}
	return n
}

func (r *commandRounds) judge(id string, before int, first *command.Answer, again command.Answer) {
	after := r.executed(id)
	var result *command.Result
	for i, one := range again.Results {
		if one.ID == id {
			result = &again.Results[i]
		} else if one.Code != code.OK {
			r.t.Errorf("round %s: GET is answered %d", id, one.Code)
		}
	}
	if result == nil || result.Code != code.OK && result.Code != code.OutcomeUnknown {
		r.t.Errorf("round %s: answered %s", id, says(again))
		return
	}
	r.answers[result.Code]++
	switch {
	case after > 1:
		r.t.Errorf("round %s: executed %d times", id, after)
	case result.Code == code.OK && after != 1:
		r.t.Errorf("round %s: answered 0 and not executed", id)
	case before == 1 && after != 1:
		r.t.Errorf("round %s: executed %d, then %d times", id, before, after)
	}
	if first == nil {
		return
	}
	r.twice++
	for _, one := range first.Results {
		if one.ID == id && string(one.XML) != string(result.XML) {
			r.t.Errorf("round %s: answered\n%s\nand then\n%s", id, one.XML, result.XML)
		}
	}
}

// forgotten: every command that was journaled has a result.
func (r *commandRounds) forgotten() {
	r.t.Helper()
	var open string
	eventually(r.t, 30*time.Second, func() string { return "a result for each command: " + open }, func() bool {
		results := map[string]int{}
		var begun []audit.Record
		for _, one := range r.records() {
			switch one.Kind {
			case audit.Begin:
				begun = append(begun, one)
			case audit.End:
				for _, x := range one.Answer.Results {
					results[fmt.Sprint(one.Message, x.Command)]++
				}
			}
		}
		open = ""
		for _, b := range begun {
			for i, c := range b.Commands {
				if results[fmt.Sprint(b.Message, i)] == 0 {
					text, _ := json.Marshal(c)
					open += string(text) + " "
				}
			}
		}
		return strings.TrimSpace(open) == ""
	})
}
