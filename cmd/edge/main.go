// Command edge runs on the terminal: the embedded NATS server, the terminal
// port, the journal, and whatever of router and sinks `run: […]` names.
package main

import (
	"runtime/debug"

	"vestnik/internal/app"
	"vestnik/internal/cli"
)

func main() {
	debug.SetGCPercent(12) // a terminal has little memory; what the server caches costs the collector nothing
	cli.Main("edge", app.Edge(), app.CheckEdgeHere, app.CheckRules, app.CheckServer)
}
