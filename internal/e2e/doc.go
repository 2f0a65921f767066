// Package e2e tests Vestnik from outside: edge, router, sink-uralsib and
// sink-proxima as processes of their own, built once for a run, stopped and killed
// as a terminal's power button would; the terminal application and the monitoring
// systems are those of package simulate.
//
// Power cuts and failing disks need FUSE (package faultfs): Linux only. Stores that
// earlier versions have written lie in testdata/stores (make store-fixture adds one).
//
// VESTNIK_ROUNDS=200 makes the crash test kill so many times (make crash),
// VESTNIK_SEED repeats a run's choices, VESTNIK_LONG=1 gives an outage a whole
// minute, and power cuts 20 rounds (make power).
package e2e
