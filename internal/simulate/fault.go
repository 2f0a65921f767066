package simulate

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"vestnik/internal/frame"
)

// Fault is what can be wrong with a sending. A faulty sending has a connection
// of its own and is tried once.
type Fault string

// The faults. Under all but FaultSlow and FaultNoAnswer no event reaches the
// other side; under FaultNoAnswer it may.
const (
	FaultGarbage   Fault = "garbage"   // bytes that are no frame
	FaultTruncated Fault = "truncated" // a frame that ends in the middle
	FaultSignature Fault = "signature" // a signature that nobody knows
	FaultMalformed Fault = "malformed" // a whole frame, its XML cut short
	FaultSlow      Fault = "slow"      // a good event, byte by byte
	FaultNoAnswer  Fault = "noanswer"  // a good event, closed without reading the answer
)

// Faults lists all faults.
var Faults = []Fault{FaultGarbage, FaultTruncated, FaultSignature, FaultMalformed, FaultSlow, FaultNoAnswer}

func joinFaults() string {
	var names []string
	for _, f := range Faults {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

// sendFaulty sends s as its fault says; the answer is the answer's body.
func sendFaulty(ctx context.Context, opt Options, s Sent, rng *rand.Rand) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, opt.AnswerTimeout+opt.Slow)
	defer cancel()
	l, err := dial(ctx, opt.Addr, opt.Order)
	if err != nil {
		return nil, err
	}
	defer l.close()
	defer l.breakAtEnd(ctx)()
	switch s.Fault {
	case FaultNoAnswer:
		return nil, l.write(s.Signature, s.Body)
	case FaultSlow:
		err = l.writeSlowly(ctx, s, opt.Slow)
	default:
		err = l.writeRaw(spoil(opt.Order, s, rng))
	}
	if err == nil && s.Fault != FaultSlow {
		err = l.endWriting()
	}
	return l.readAfter(err)
}

// spoil makes the bytes of a faulty sending.
func spoil(order frame.Order, s Sent, rng *rand.Rand) []byte {
	signature, body := s.Signature, s.Body
	switch s.Fault {
	case FaultGarbage:
		return garbage(rng)
	case FaultSignature:
		signature = "?" + signature[:frame.SignatureSize-1]
	case FaultMalformed:
		body = slices.Concat(body[:len(body)/2], []byte("<"))
	}
	b, err := frame.Append(nil, order, signature, body)
	if err != nil { // an event too large for a frame: then this is its fault
		return garbage(rng)
	}
	if s.Fault == FaultTruncated {
		b = b[:1+rng.IntN(len(b)-1)]
	}
	return b
}

// garbage begins as no signature can (SPEC 1: closed without an answer).
func garbage(rng *rand.Rand) []byte {
	b := make([]byte, 8+rng.IntN(57))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	b[0] = 0x16 // as a TLS hello does
	return b
}

// writeSlowly spreads a frame over d, in at most 50 pieces.
func (l *link) writeSlowly(ctx context.Context, s Sent, d time.Duration) error {
	var b bytes.Buffer
	if err := frame.Write(&b, l.order, s.Signature, s.Body); err != nil {
		return err
	}
	pieces := slices.Collect(slices.Chunk(b.Bytes(), b.Len()/50+1))
	for _, piece := range pieces {
		if err := l.writeRaw(piece); err != nil {
			return err
		}
		if err := pause(ctx, d/time.Duration(len(pieces))); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
