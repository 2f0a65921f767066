package main

import (
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vestnik/internal/demo"
)

// demoCommand shows everything at work, with nothing but this program.
func demoCommand() *cobra.Command {
	var o demo.Options
	var lines, hub bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything at work, here, at once",
		Long: `Demo starts, in this one process, an edge with its embedded NATS server, router
and both sinks, simulated terminals with a terminal application and two simulated
monitoring systems. Events flow by rules that hold, suppress, redirect and hurry
some of them; in the middle one monitoring system is out for a while, and the
other rejects an event. Meanwhile an operator asks the terminal application by
NATS for its state and its cassettes and resets a device; the same order a second
time is answered from memory. The screen shows it live, the summary must add up:
only then does demo exit with 0. The summary's last line is JSON.

With --hub it is the hub instead: a cluster of three servers, terminals each with an
edge that is a leaf node of it, a subscriber that counts. Lines are cut, a server and an
edge are stopped and started again; at the end the hub must have every event of every
edge, in order, each once, and the subscriber must have counted them.

Ports are free ones on loopback, the folder is a temporary one unless --dir says
otherwise. Ctrl-C ends the sending early, a second one everything at once.`,
		Example: `  vestnik demo
  vestnik demo --duration 20s --events 2000
  vestnik demo --hub
  vestnik demo --rate 500 --terminals 64 --dir demo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			if f, ok := o.Out.(*os.File); ok && !lines && fullScreen(f) {
				o.Screen = screen{f}
				o.Color = os.Getenv("NO_COLOR") == ""
			}
			if hub {
				return demo.RunHub(cmd.Context(), o)
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&o.Duration, "duration", 20*time.Second, "of the sending; what is held or waits has a moment longer")
	f.IntVar(&o.Events, "events", 0, "how many (default: what rate and duration make)")
	f.Float64Var(&o.Rate, "rate", 0, "events per second (default 60, or what the number of events needs)")
	f.IntVar(&o.Terminals, "terminals", 0, "terminals at once (default 8, with --hub 5)")
	f.Uint64Var(&o.Seed, "seed", 1, "decides the mixture")
	f.StringVar(&o.Dir, "dir", "", "new `FOLDER` for configuration, store and log, which stays (default: a temporary one)")
	f.BoolVar(&hub, "hub", false, "show the hub: three servers, several edges, lines that break")
	f.BoolVar(&lines, "plain", false, "a line per second instead of a screen")
	return cmd
}

// fullScreen tells whether f is a terminal that can be drawn on.
func fullScreen(f *os.File) bool {
	dumb := os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" && runtime.GOOS != "windows"
	return term.IsTerminal(int(f.Fd())) && !dumb && enableColor(f)
}

// screen asks a terminal for its size.
type screen struct{ *os.File }

func (s screen) Size() (width, height int) {
	width, height, err := term.GetSize(int(s.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
