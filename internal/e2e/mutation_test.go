package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"vestnik/internal/frame"
	"vestnik/internal/hostile"
)

// Hostile cases, changed at random, in random chunks: whatever they have become,
// what was answered 0 is stored and delivered, nothing else is, and the good
// terminal is served in between. VESTNIK_ROUNDS is how many of them.
func TestHostileMutations(t *testing.T) {
	t.Parallel()
	seed, rounds := number(t, "VESTNIK_SEED", int(rand.Uint32())), number(t, "VESTNIK_ROUNDS", 3000)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -run TestHostileMutations ./internal/e2e", seed, rounds)
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep_alive %t", keep), func(t *testing.T) {
			t.Parallel()
			newHostility(t, keep).mutations(uint64(seed), rounds)
		})
	}
}

func (h *hostility) mutations(seed uint64, rounds int) {
	const workers = 6
	var wg sync.WaitGroup
	var zeros [workers]int
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range rounds / workers {
				zeros[w] += h.mutant(mutate(h.cases, rng), rng)
				if i%20 == 0 {
					h.site.accept("URAL", exampleEvent)
					zeros[w]++
				}
			}
		})
	}
	wg.Wait()
	_, js := h.site.connect()
	sum := 0
	for _, n := range zeros {
		sum += n
	}
	if n := len(stored(h.t, js)); n != sum {
		h.t.Errorf("%d events in EVENTS, %d answered 0", n, sum)
	}
	h.t.Logf("%d answered 0", sum)
	h.checkDelivered()
	h.checkAlone()
	h.site.processes["edge"].stop(h.t)
}

// mutate changes a case a little: bytes, order, lengths, or a part of another case.
func mutate(cases []hostile.Case, rng *rand.Rand) []byte {
	raw := slices.Clone(cases[rng.IntN(len(cases))].Send)
	for range 1 + rng.IntN(4) {
		if len(raw) == 0 {
			return raw
		}
		i := rng.IntN(len(raw))
		j := i + rng.IntN(min(len(raw)-i, 32)+1)
		switch rng.IntN(6) {
		case 0:
			raw[i] ^= 1 << rng.IntN(8)
		case 1:
			raw[i] = byte(rng.IntN(256))
		case 2:
			raw = slices.Delete(raw, i, j)
		case 3:
			raw = slices.Insert(raw, i, slices.Clone(raw[i:j])...)
		case 4:
			raw = slices.Insert(raw, i, []byte("\x00<>&'\"=/?! ]")[rng.IntN(12)])
		case 5:
			raw = append(raw[:i:i], cases[rng.IntN(len(cases))].Send...)
		}
	}
	return raw
}

// mutant sends bytes in chunks, half-closes, reads all answers and counts codes 0.
func (h *hostility) mutant(raw []byte, rng *rand.Rand) (zeros int) {
	conn, err := net.DialTimeout("tcp", h.site.terminal, 5*time.Second)
	if err != nil {
		h.t.Error(err)
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	cuts := []int{0, rng.IntN(len(raw) + 1), rng.IntN(len(raw) + 1), len(raw)}
	slices.Sort(cuts)
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range cuts[1:] {
			_, _ = conn.Write(raw[cuts[i]:cuts[i+1]])
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	defer sending.Wait()
	got, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		h.t.Errorf("not closed after %.300q", raw)
	}
	for r := bytes.NewReader(got); r.Len() > 0; {
		_, body, err := frame.Read(r, frame.BigEndian, frame.MaxBody)
		if err != nil {
			h.t.Errorf("%.300q is answered %q", raw, got)
			break
		}
		if h.answer(fmt.Sprintf("%.300q", raw), body); bytes.Contains(body, []byte("<monitoring><result code='0'")) {
			zeros++
		}
	}
	return zeros
}
