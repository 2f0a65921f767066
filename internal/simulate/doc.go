// Package simulate is the world outside Vestnik, for demos, for tests and for
// whoever installs it: a terminal that sends the manual's events
// ([Terminal], [Send]), the application on it that takes commands ([Application]),
// and the two monitoring systems that receive the events ([Uralsib], [Proxima]). All
// of them have settable faults. SPEC 7, last clause.
//
// # Terminal
//
// The events are those of the manual's table 2, built from the macros of its
// tables 1 and 2; they stand as templates in templates/events.txt. What a
// Terminal sends is decided by Options.Seed alone, per connection; only the
// times come from the clock. It keeps the order of its events: the next one
// goes out when the one before it was answered.
//
// # Terminal application
//
// An Application answers all eight commands, one message per connection, as the
// manual's examples do; what stands inside its results are the files of answers/. It
// keeps a state per terminal: in service (waiting for a client, or serving one), out
// of service, rebooting; its devices, and the notes in its cassettes. Nothing of it
// changes by itself: the same commands get the same bytes until a command, a method
// or an option changes something.
//
//   - A command is executed and recorded (OnCommand, Executed) before it is answered,
//     whatever fault the answer has.
//   - What follows a command begins after its answer and takes its course in the order
//     of the commands, per terminal. It is told as events through the terminal port,
//     also in order; an event is sent again until it is answered for good.
//   - REBOOT closes the listener of an application with a number of its own. One that
//     takes any number goes on for the other terminals, and closes the connections of
//     the one that reboots without an answer.
//   - Where the manual gives no code for an error it is 152 to 155, and an answer that
//     does not fit into a frame is code 108 without results.
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
//     the configured terminal.signatures. Commands that did not come in a frame go
//     to ProATM with the edge's own MSG_SIGNATURE (default the first configured):
//     set both to the same;
//   - [HKEY_LOCAL_MACHINE\SOFTWARE\FS365\Monitoring\<system>\<event>]: a value
//     per field of the event, with #MACRO# in it, as in templates/events.txt.
//
// Events are then sent to terminal.listen, by default 127.0.0.1:3333. Commands come
// from the edge to terminal.application: set it to the address where ProATM takes
// commands (the simulator's default is 127.0.0.1:3334), and terminal.byte_order to the
// order of its frames. The atm of the edge must be the terminal's own number, or
// ProATM refuses its commands.
package simulate
