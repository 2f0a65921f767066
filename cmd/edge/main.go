// Command edge runs on the terminal: the embedded NATS server, the terminal
// port, the journal, and whatever of router and sinks `run: […]` names.
package main

import (
	"runtime/debug"

	"vestnik/internal/app"
	"vestnik/internal/cli"
)

func main() {
	debug.SetGCPercent(50) // a terminal has little memory: measured, see docs/adr
	cli.Main("edge", app.Edge, app.CheckRules)
}
