package demo

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options of a demo; zero values have usable defaults.
type Options struct {
	Duration  time.Duration // of the sending, with its pauses; default 20 s
	Events    int           // how many, 0 = as many as Rate and Duration make
	Rate      float64       // per second, 0 = 60, or what Events need
	Terminals int           // default 8; of a hub 5
	Seed      uint64        // decides the mixture
	Dir       string        // where to keep configuration, store and log; "" = a temporary folder

	Out    io.Writer
	Screen Screen // a terminal to draw on; nil = lines
	Color  bool   // on the screen
}

// A Screen is the terminal that Out writes to.
type Screen interface {
	Size() (width, height int)
}

const (
	defaultDuration  = 20 * time.Second
	defaultRate      = 60
	defaultTerminals = 8
	hubTerminals     = 5    // each with an edge of its own
	maxHubTerminals  = 30   // in one process
	sendingShare     = 0.8  // of Duration: the rest is for what is held
	plannedShare     = 0.65 // where a number is asked for: a busy computer falls behind
)

func (o *Options) defaults() {
	if o.Duration == 0 {
		o.Duration = defaultDuration
	}
	if o.Terminals == 0 {
		o.Terminals = defaultTerminals
	}
	switch {
	case o.Rate == 0 && o.Events > 0:
		o.Rate = float64(o.Events) / (o.Duration.Seconds() * plannedShare)
	case o.Rate == 0:
		o.Rate = defaultRate
	}
	if o.Events == 0 {
		o.Events = max(1, int(o.Rate*o.Duration.Seconds()*sendingShare))
	}
}

// Validate finds everything that is wrong.
func (o Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Duration >= 0, "--duration cannot be negative")
	check(o.Duration == 0 || o.Duration >= time.Second, "--duration must be at least 1s")
	check(o.Events >= 0, "--events cannot be negative")
	check(o.Rate >= 0 && o.Rate <= 1e6, "--rate must be between 0 and 1,000,000")
	check(o.Terminals >= 0 && o.Terminals <= 1000, "--terminals must be between 1 and 1000")
	return errors.Join(errs...)
}
