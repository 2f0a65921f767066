package main

import (
	"fmt"
	"io"
	"math"
	"time"
)

// progress shows the course of a long survey.
type progress struct {
	statusLine
	begun time.Time

	total, done, answered, failed int
}

func newProgress(w io.Writer, total int, live bool) *progress {
	return &progress{statusLine: newStatusLine(w, live), begun: time.Now(), total: total}
}

func (p *progress) count(r reply) {
	p.done++
	if r.err == nil {
		p.answered++
	}
	if !r.ok() {
		p.failed++
	}
}

func (p *progress) show(now time.Time) {
	p.say(progressText(p.total, p.done, p.answered, p.failed, now.Sub(p.begun)))
}

// progressText says how far a survey is, and how long the rest takes at the same rate.
func progressText(total, done, answered, failed int, elapsed time.Duration) string {
	text := fmt.Sprintf("answered %d of %d, %d failed", answered, total, failed)
	if done == 0 || elapsed <= 0 {
		return text
	}
	rate := float64(done) / elapsed.Seconds()
	left := time.Duration(math.Ceil(float64(total-done)/rate)) * time.Second
	return text + fmt.Sprintf(", %.1f/s, about %s left", rate, spanText(left))
}
