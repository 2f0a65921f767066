package main

import (
	"fmt"
	"io"
	"time"
)

// statusLine tells of long work: on a terminal in one line that changes, else by a line
// now and then, which short work ends before.
type statusLine struct {
	w     io.Writer
	live  bool
	every time.Duration
	shown bool
}

func newStatusLine(w io.Writer, live bool) statusLine {
	if live {
		return statusLine{w: w, live: live, every: 100 * time.Millisecond}
	}
	return statusLine{w: w, every: 5 * time.Second}
}

func (s *statusLine) say(text string) {
	s.shown = true
	if s.live {
		fmt.Fprintf(s.w, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(s.w, text)
}

// end removes the line that changes.
func (s *statusLine) end() {
	if s.live && s.shown {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// course tells how far the reading of stored events is.
type course struct {
	statusLine
	quiet bool // nothing is told: the events themselves are seen as they come
	found int
	calls int
	next  time.Time
}

func newCourse(errs io.Writer, quiet bool) *course {
	c := &course{statusLine: newStatusLine(errs, colorTerminal(errs)), quiet: quiet}
	c.next = time.Now().Add(c.every)
	return c
}

// messages and bytes are replay.Progress.
func (c *course) messages(done, total uint64) {
	c.tell(done, total, func() string { return fmt.Sprintf("read %d of %d messages", done, total) })
}

func (c *course) bytes(done, total uint64) {
	c.tell(done, total, func() string { return fmt.Sprintf("read %s of %s", sizeText(int64(done)), sizeText(int64(total))) })
}

func (c *course) tell(done, total uint64, text func() string) {
	if c.calls++; c.quiet || c.calls%64 != 0 || total == 0 || done > total {
		return
	}
	if now := time.Now(); !now.Before(c.next) {
		c.say(fmt.Sprintf("%s (%d %%), found %s", text(), 100*done/total, counted(c.found, "event")))
		c.next = now.Add(c.every)
	}
}
