// Command sink-proxima delivers the queue of the sink proxima to its monitoring
// system.
package main

import (
	"vestnik/internal/app"
	"vestnik/internal/cli"
)

func main() { cli.Main("sink-proxima", app.Sink("proxima"), app.CheckRoutedHere) }
