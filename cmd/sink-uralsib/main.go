// Command sink-uralsib delivers the queue of the sink uralsib to its monitoring
// system.
package main

import (
	"vestnik/internal/app"
	"vestnik/internal/cli"
)

func main() { cli.Main("sink-uralsib", app.Sink("uralsib"), app.CheckRoutedHere) }
