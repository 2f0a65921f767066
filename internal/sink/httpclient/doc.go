// Package httpclient speaks HTTP/1.1 to one URL of a monitoring system, the way
// SPEC 4 wants deliveries: each step (connecting with TLS, sending, the answer)
// has its own limit, redirects are not followed, no proxy is taken from the
// environment, no cookies, no compression, and no error shows the URL's query.
//
// It stands in for net/http's Transport, with net/http's reader of answers, for
// three reasons. Transport knows no limit for sending, and one for the answer's
// header only: a server that takes or gives a byte at a time holds it. It
// repeats requests by rules of its own. And its two goroutines for each
// connection cost more than the rest of a delivery together; here a
// request is one write and one read in the caller's goroutine.
//
// Invariants:
//   - A connection serves one request at a time, and is kept only if the answer
//     ended cleanly with nothing behind it: an answer is never taken for the
//     answer to another request. Before it is used again it must be open and silent.
//   - A request goes out once, with one exception: when a kept connection ends
//     without a byte of an answer, it goes once more on a fresh one, as
//     RFC 9110 (9.2.2) and every HTTP client do, with the same Ce-Id.
//     The runner would repeat that event all the same; without the exception
//     a server's idle timeout would count as an outage.
//   - The status counts as soon as the answer's header is whole; its body is read
//     only to keep the connection.
package httpclient
