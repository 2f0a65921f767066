// Package bench measures the whole way of an event against a floor in the same
// run: the least program that takes frames, appends them to a file, syncs once for
// all that wait, answers, and forwards them by HTTP. Absolute figures say little on
// a shared machine; the ratios do.
//
//	go test -run '^$' -bench . -benchtime 1x ./internal/bench
package bench
