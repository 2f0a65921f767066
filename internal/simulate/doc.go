// Package simulate is the world outside Vestnik, for demos, for tests and for
// whoever installs it: a terminal that sends the manual's events
// ([Terminal], [Send]), and the two monitoring systems that receive them
// ([Uralsib], [Proxima]). All of them have settable faults. SPEC 7, last clause.
//
// # Terminal
//
// The events are those of the manual's table 2, built from the macros of its
// tables 1 and 2; they stand as templates in templates/events.txt. What a
// Terminal sends is decided by Options.Seed alone, per connection; only the
// times come from the clock. It keeps the order of its events: the next one
// goes out when the one before it was answered.
//
// # Monitoring systems
//
// Uralsib and Proxima keep what arrived, in the order of arrival, and are
// strict: a request that departs from SPEC 4, 5 or 6 is answered with a 4xx,
// counted as invalid and shown with the reason, so that a wrong sender is found
// here and not at the bank. An event counts as confirmed when its success
// status is about to be written; if the connection breaks in that moment, the
// sender's next copy counts as a repeat, which at-least-once delivery allows.
//
// Proxima also has commands for terminals (Proxima.Order): it gives them to polls until
// their results are posted, and holds both against the OpenAPI file in package schema.
// A result of an id that it never gave is answered 409 and not 404, which a sink takes
// for an outage (SPEC 4). Two different results of one command are counted as Changed:
// it was executed twice.
//
// # The real ProATM
//
// To let the real terminal application take the simulator's place, set in the
// terminal's registry:
//
//   - [HKEY_LOCAL_MACHINE\SOFTWARE\FS365\MajorBusinessModules]: GoInServiceMajors
//     must contain the string Monitoring (several values are separated by
//     commas), or GO_IN_SERVICE and GO_OUT_OF_SERVICE have no effect;
//   - MSG_SIGNATURE: URAL for «УРАЛСИБ», JSON for ПроКСИМА; it must be one of
//     the configured terminal.signatures;
//   - [HKEY_LOCAL_MACHINE\SOFTWARE\FS365\Monitoring\<system>\<event>]: a value
//     per field of the event, with #MACRO# in it, as in templates/events.txt.
//
// Events are then sent to terminal.listen, by default 127.0.0.1:3333.
package simulate
