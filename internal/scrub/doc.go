// Package scrub looks through the embedded server's files before the server
// opens them, so that damage is noticed, put right where that is possible, and
// otherwise known by number (DESIGN fact 7).
//
// # Why not leave it to the server
//
// nats-server 2.15.2 drops everything behind a flipped bit in the same block (up
// to 8 MiB), tells nobody, and uses the numbers again; after a clean stop it does not
// even look before a block is read. And its checksum leaves out three lengths of
// a record (of the record, the subject, the headers): a bit flipped in the length of
// the headers moves the border between headers and body, and the server hands that
// out as good.
//
// # What Check does
//
// Every record of every block is compared with its checksum, and its borders with
// what they must look like. A record that is wrong is put right if one flipped bit
// explains it: 64 bits of checksum leave no doubt. If not, the records behind it
// are found again by their checksums. So a block loses what is damaged and no more.
// A block with damage is written anew, whole and synced, then renamed over the old
// one, which stays below damaged/ in the store: nothing is deleted.
//
// What is missing is known by numbers: EVENTS has no gaps, as nothing but its
// front is ever removed; and Notes, which the edge keeps while it runs, say how far
// each stream went, which blocks it had, and what its configuration was.
//
// Not damage: a record at a stream's end that was being written at a power cut.
// It was never acknowledged, and the notes do not know it.
//
// # Limits
//
// Only R1 streams in files, not encrypted and not compressed, are looked through;
// others are told in the log. Two faults at once, in a stream and in what the notes
// say of its end, may hide the loss of the end.
package scrub
