package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Span is a part of a stream, both ends included.
type Span struct{ First, Last uint64 }

// Window finds the part of a stream that holds all messages stored from since on and
// before until; zero times are open ends. It may be larger than that.
//
// A consumer by start time is not used: the server looks for the time by halves, and where
// the clock was set back it may find the second time that it was so late, or none. Here
// samples of the whole stream are compared: the part begins where a sample first is late
// enough, and ends where no later one is early enough. A clock that was wrong for less
// than the distance of two samples (a 256th of the stream) goes unseen.
func Window(ctx context.Context, js jetstream.JetStream, name string, since, until time.Time) (Span, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return Span{}, fmt.Errorf("look up stream %s: %w", name, err)
	}
	state := s.CachedInfo().State
	w := Span{state.FirstSeq, state.LastSeq}
	if state.Msgs == 0 || since.IsZero() && until.IsZero() {
		return w, nil
	}
	all, err := sample(ctx, js, name, w)
	if err != nil {
		return w, err
	}
	if !since.IsZero() {
		from, to := before(all, w, since)
		if part, err := sample(ctx, js, name, Span{from, to}); err == nil {
			from, _ = before(part, Span{from, to}, since)
		}
		w.First = from
	}
	if !until.IsZero() {
		from, to := behind(all, w, until)
		if part, err := sample(ctx, js, name, Span{from, to}); err == nil {
			_, to = behind(part, Span{from, to}, until)
		}
		w.Last = to
	}
	return w, nil
}

// stamp is when a message was stored.
type stamp struct {
	seq uint64
	at  time.Time
}

// before is between which two samples the stream is first as late as t.
func before(list []stamp, in Span, t time.Time) (from, to uint64) {
	from, to = in.First, in.Last
	for _, s := range list {
		if !s.at.Before(t) {
			return from, s.seq
		}
		from = s.seq
	}
	return from, to
}

// behind is between which two samples the stream is last earlier than t.
func behind(list []stamp, in Span, t time.Time) (from, to uint64) {
	from, to = in.First, in.Last
	for _, s := range slices.Backward(list) {
		if s.at.Before(t) {
			return max(s.seq, from), to
		}
		to = s.seq
	}
	return from, max(to, from)
}

const (
	samples    = 256
	sampleWait = 5 * time.Second
)

// sample reads when messages were stored, at so many places, by direct gets that are all
// asked at once. What does not come is left out. A stream without direct gets gives none.
func sample(ctx context.Context, js jetstream.JetStream, name string, in Span) ([]stamp, error) {
	seqs := places(in)
	nc := js.Conn()
	answers := make(chan *nats.Msg, len(seqs))
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return nil, fmt.Errorf("sample %s: %w", name, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone
	for i, seq := range seqs {
		ask := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":">"}`, seq)
		if err := nc.PublishRequest(requests(js)+"DIRECT.GET."+name, inbox+"."+strconv.Itoa(i), ask); err != nil {
			return nil, fmt.Errorf("sample %s: %w", name, err)
		}
	}
	limit := time.NewTimer(sampleWait)
	defer limit.Stop()
	var list []stamp
	for range seqs {
		select {
		case m := <-answers:
			if m.Header.Get("Status") == "503" {
				return nil, nil // no direct gets here
			}
			if s, ok := stampOf(m); ok {
				list = append(list, s)
			}
		case <-limit.C:
			return sorted(list), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return sorted(list), nil
}

func sorted(list []stamp) []stamp {
	slices.SortFunc(list, func(a, b stamp) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	return list
}

func stampOf(m *nats.Msg) (s stamp, ok bool) {
	seq, err1 := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
	at, err2 := time.Parse(time.RFC3339Nano, m.Header.Get(nats.JSTimeStamp))
	return stamp{seq, at}, errors.Join(err1, err2) == nil
}

// places are evenly spread, both ends among them.
func places(in Span) []uint64 {
	n := in.Last - in.First + 1
	if n <= samples {
		list := make([]uint64, 0, n)
		for seq := in.First; seq <= in.Last; seq++ {
			list = append(list, seq)
		}
		return list
	}
	list := make([]uint64, 0, samples)
	for i := range uint64(samples) {
		list = append(list, in.First+i*(n-1)/(samples-1))
	}
	return list
}
