// Package e2e tests Vestnik from outside: edge, router, sink-uralsib and
// sink-proxima as processes of their own, built once for a run, stopped and killed
// as a terminal's power button would; the terminal application and the monitoring
// systems are those of package simulate.
//
// Power cuts and failing disks need FUSE (package faultfs): Linux only. Stores that
// earlier versions have written lie in testdata/stores (make store-fixture adds one).
// Hostile input is in package hostile, as data.
//
// VESTNIK_ROUNDS=200 makes a test kill, cut, damage or change faults so many times,
// VESTNIK_SEED repeats a run's choices, VESTNIK_LONG=1 makes it long: the make
// targets power, crash, disk, network and so on set them (docs/promises.md).
package e2e
