// Command router applies the rules to the events of EVENTS and fills the sinks'
// queues; it also removes what is done with.
package main

import (
	"vestnik/internal/app"
	"vestnik/internal/cli"
)

func main() { cli.Main("router", app.Router, app.CheckRules, app.CheckRoutedHere) }
