package simulate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Terminal sends events as ProATM does, and faults if it is told to.
type Terminal struct{ Options }

// Run sends until the count or the duration is reached or ctx ends; all three
// are a good end. The report is complete when Run returns. An error means that
// the options are wrong.
func (t Terminal) Run(ctx context.Context) (Report, error) {
	if err := t.Validate(); err != nil {
		return newReport(), fmt.Errorf("simulated terminal: %w", err)
	}
	opt := t.withDefaults()
	if opt.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.Duration)
		defer cancel()
	}
	started := time.Now()
	report := runAll(ctx, opt)
	report.Elapsed = time.Since(started)
	return report, nil
}

// runAll runs every terminal and adds up their reports.
func runAll(ctx context.Context, opt Options) Report {
	var (
		wg     sync.WaitGroup
		shared = &common{limit: rate.NewLimiter(rate.Inf, 1), onAnswer: opt.OnAnswer}
		all    []*sender
	)
	if opt.Rate > 0 {
		shared.limit = rate.NewLimiter(rate.Limit(opt.Rate), 1)
	}
	for i, atm := range opt.numbers() {
		s := &sender{opt: opt, common: shared, scenario: newScenario(opt, atm, i), report: newReport()}
		all = append(all, s)
		if n := share(opt.Count, opt.Terminals, i); n != 0 {
			wg.Go(func() { s.run(ctx, n) })
		}
	}
	wg.Wait()
	report := newReport()
	for _, s := range all {
		report.add(s.report)
	}
	return report
}

// share is the number of events of terminal i, -1 = no limit.
func share(count, terminals, i int) int {
	if count == 0 {
		return -1
	}
	n := count / terminals
	if i < count%terminals {
		n++
	}
	return n
}

// common is what the terminals of one Run share.
type common struct {
	limit    *rate.Limiter
	mu       sync.Mutex
	onAnswer func(Sent, Result, error)
}

func (c *common) answered(s Sent, r Result, err error) {
	if c.onAnswer == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onAnswer(s, r, err)
}
