// Package e2e tests Vestnik from outside: edge, router, sink-uralsib and
// sink-proxima as processes of their own, built once for a run, stopped and killed
// as a terminal's power button would; the terminal application and the monitoring
// systems are those of package simulate.
//
// VESTNIK_ROUNDS=200 makes the crash test kill, and the network test change faults, so
// many times (make crash, make network),
// VESTNIK_SEED repeats a run's choices, VESTNIK_LONG=1 gives an outage a whole
// minute. Hostile input (make hostile) is in package hostile, as data.
package e2e
