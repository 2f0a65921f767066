package simulate

import (
	"context"
	"errors"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/frame"
)

// A sender is one terminal at work.
type sender struct {
	opt Options
	*common
	scenario *scenario
	link     *link // kept between events with KeepAlive
	report   Report
}

func (s *sender) run(ctx context.Context, count int) {
	defer s.drop()
	turns, end := s.turns(ctx)
	defer end()
	for n := 0; n != count; n++ {
		if s.limit.Wait(turns) != nil || turns.Err() != nil {
			return
		}
		if e := s.scenario.next(); e.Fault != "" {
			s.sendFault(ctx, e)
		} else {
			s.deliver(ctx, e)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// turns ends with ctx or with Options.Stop: no event is begun after it.
func (s *sender) turns(ctx context.Context) (context.Context, context.CancelFunc) {
	turns, cancel := context.WithCancel(ctx)
	if s.opt.Stop == nil {
		return turns, cancel
	}
	go func() {
		select {
		case <-s.opt.Stop:
			cancel()
		case <-turns.Done():
		}
	}()
	return turns, cancel
}

// deliver sends an event until it is answered for good: codes 6, 7, 8 and
// connection errors are tried again after a pause, as ProATM does.
func (s *sender) deliver(ctx context.Context, e Sent) {
	s.report.Events++
	for e.Attempt = 1; ; e.Attempt++ {
		r, err := s.attempt(ctx, e)
		switch {
		case err == nil && r.Code == code.OK:
			s.report.Confirmed++
			s.report.Templates[e.Template]++
			return
		case err == nil && !again(r.Code), errors.Is(err, frame.ErrTooLarge):
			s.report.Refused++
			return
		case e.Attempt == s.opt.MaxAttempts || pause(ctx, s.opt.RetryPause) != nil:
			s.report.GivenUp++
			return
		}
	}
}

// again tells whether the code says "send again" (SPEC 1).
func again(c code.Code) bool { return c == code.NotStored || c == code.Paused || c == code.Overloaded }

// attempt sends once and counts what came of it.
func (s *sender) attempt(ctx context.Context, e Sent) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.AnswerTimeout)
	defer cancel()
	started := time.Now()
	answer, err := s.exchange(ctx, e)
	s.report.Longest = max(s.report.Longest, time.Since(started))
	s.report.Attempts++
	r, err := result(answer, err)
	if err == nil {
		s.report.Codes[r.Code]++
	} else {
		s.report.Errors++
	}
	if errors.Is(err, ErrNoAnswer) {
		s.report.Uncertain++
	}
	s.answered(e, r, err)
	return r, err
}

// exchange uses the kept link, or a new one. A link is dropped after an error
// and, without KeepAlive, after every event.
func (s *sender) exchange(ctx context.Context, e Sent) ([]byte, error) {
	if s.link == nil {
		l, err := dial(ctx, s.opt.Addr, s.opt.Order)
		if err != nil {
			return nil, err
		}
		s.link = l
	}
	answer, err := s.link.exchange(ctx, e.Signature, e.Body)
	if err != nil || !s.opt.KeepAlive {
		s.drop()
	}
	return answer, err
}

func (s *sender) drop() {
	if s.link != nil {
		s.link.close()
		s.link = nil
	}
}

// sendFault sends once, whatever comes of it.
func (s *sender) sendFault(ctx context.Context, e Sent) {
	e.Attempt = 1
	answer, err := sendFaulty(ctx, s.opt, e, s.scenario.rng)
	f := s.report.fault(e.Fault)
	f.Sent++
	if e.Fault == FaultNoAnswer && err == nil {
		f.NoAnswer++
		s.report.Uncertain++
		s.answered(e, Result{}, ErrNoAnswer)
		return
	}
	r, err := result(answer, err)
	if err == nil {
		f.Codes[r.Code]++
	} else {
		f.NoAnswer++
	}
	if e.Fault == FaultSlow {
		s.countSlow(e, r, err)
	}
	s.answered(e, r, err)
}

// countSlow counts the good event in a slow sending as well.
func (s *sender) countSlow(e Sent, r Result, err error) {
	s.report.Events++
	s.report.Attempts++
	switch {
	case err != nil:
		s.report.Errors++
		s.report.GivenUp++
		if errors.Is(err, ErrNoAnswer) {
			s.report.Uncertain++
		}
		return
	case r.Code == code.OK:
		s.report.Confirmed++
		s.report.Templates[e.Template]++
	default:
		s.report.Refused++
	}
	s.report.Codes[r.Code]++
}
