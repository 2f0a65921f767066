package main

import (
	"fmt"
	"io"
	"math"
	"time"
)

// progress shows the course of a long survey: on a terminal one line that changes, else
// a line now and then, which a short survey ends before.
type progress struct {
	w     io.Writer
	live  bool
	every time.Duration
	begun time.Time
	shown bool

	total, done, answered, failed int
}

func newProgress(w io.Writer, total int, live bool) *progress {
	p := &progress{w: w, live: live, every: 5 * time.Second, begun: time.Now(), total: total}
	if live {
		p.every = 100 * time.Millisecond
	}
	return p
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
	p.shown = true
	text := progressText(p.total, p.done, p.answered, p.failed, now.Sub(p.begun))
	if p.live {
		fmt.Fprintf(p.w, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(p.w, text)
}

// end removes the line that changes.
func (p *progress) end() {
	if p.live && p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
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
