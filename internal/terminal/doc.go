// Package terminal is the port that terminals speak to (SPEC 1): it reads
// frames, has each event recorded, and answers.
//
// What the port promises:
//   - Code 0 is sent only after the Recorder has returned nil.
//   - Every connection has a goroutine of its own, which reads, waits for the
//     Recorder and answers; bad input costs no other connection anything.
//   - Frames of one connection are handled one after the other, so answers
//     come in order and a terminal's events are recorded in order.
//   - A connection that was displaced records nothing any more: whatever is
//     recorded gets its answer, unless the client itself is gone.
//
// Connections beyond the limit: the newcomer displaces the connection that has
// waited longest without having sent a whole frame (connections idle between
// frames and those that only linger after an error answer count as such). If
// there is none, all being busy with a whole frame, the newcomer is taken all
// the same, and its event is answered with code 8; until its frame is whole it
// is the first to be displaced.
//
// Crowds (docs/adr/0024): nobody is displaced before he has waited a moment, for
// his frame may have arrived unread; who does not read his answers may be displaced;
// every answer that ends a connection is followed by a half-close and a drain.
package terminal
