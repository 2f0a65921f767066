// Package poll fetches a terminal's commands from the monitoring system PROXIMA and
// brings it their results (SPEC 6): a long poll of RemoteCommandsUrl, a journal in the
// bucket COMMANDS, requests to the edge by NATS, and posts to the same URL.
//
// What it guarantees, whatever is killed in between (this program, the edge, the
// monitoring system) and however often:
//
//   - All new commands of a list are on the disk before the next poll.
//   - A terminal's commands are handed over one at a time, in the order of the lists.
//   - A command that is in the journal is not handed over again because the list has
//     it again. It is handed over again only when its answer was lost, and then with
//     the time of the first handing (streams.HeaderResume): so the edge does not
//     execute an acting command twice (SPEC 7, Once).
//   - Each command gets a result, code 109 at worst, and a result is posted until the
//     monitoring system has answered 2xx. It may be posted more than once: when the
//     answer is lost, or a crash comes between the answer and its record.
//
// A command lives through four states, each of them a record in the journal:
//
//	received   it stood in a list
//	handed     it was, or is about to be, requested from the edge
//	answered   its result is there and not posted yet
//	posted     the monitoring system has the result; the record goes by itself
//
// Not guaranteed: the order of results. They are posted in order while all goes well;
// one that the monitoring system refuses does not hold up the others.
package poll
