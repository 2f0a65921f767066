// Package httpclient speaks HTTP/1.1 to one URL of a monitoring system, the way
// SPEC 4 wants deliveries: each step (connecting with TLS, sending, the answer)
// has its own limit, redirects are not followed, no proxy is taken from the
// environment, no cookies, no compression, and no error shows the URL's query.
//
// It stands in for net/http's Transport, with net/http's reader of answers.
// Transport has no limit for sending, and for the answer one of the header only: a
// server that takes or gives a byte at a time holds it for ever. It repeats
// requests by rules of its own, GET and POST not alike. And a request here is one
// write and one read in the caller's goroutine: 4.8 µs and 12 allocations on
// loopback, server and kernel included, where Transport takes 7.8 and 44
// (BenchmarkDeliver and BenchmarkTransport in package uralsib).
//
// Invariants:
//   - A connection serves one request at a time, and is kept only if the answer
//     ended cleanly with nothing behind it. Before it is used again it must be open
//     and silent (on Windows looked at only after 20 ms at rest: peek_other.go). So
//     what a server says unasked does not confirm the next event.
//   - A request goes out once, with one exception: when a kept connection ends
//     without a byte of an answer, it goes once more on a fresh one,
//     with the same Ce-Id, as RFC 9110 (9.2.2) lets clients do for GET. A POST of
//     ours may be repeated as well: delivery is at least once.
//     The runner would repeat that event all the same; without the exception
//     a server's idle timeout would count as an outage.
//   - The status counts as soon as the answer's header is whole; its body is read
//     only to keep the connection.
package httpclient
