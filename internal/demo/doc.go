// Package demo shows the whole of Vestnik at work in one process: an edge with
// router and both sinks in it, simulated terminals and their application, two simulated
// monitoring systems, an operator who sends commands, and in the middle two incidents.
//
// Nothing that it shows is made up. What was sent and answered comes from the
// simulated terminals; what was stored, held, suppressed and released from
// following EVENTS and ROUTE; what was delivered from DONE; what arrived from the
// simulated monitoring systems; an outage from the sink's own status. What a command
// came to is the answer that its sender got, that it was not executed again is from
// AUDIT, and what was executed the simulated application says. At the end these
// sources, which know nothing of each other, must add up (see Sums).
//
// RunHub shows the hub: a cluster of three servers, terminals with edges that are leaf nodes
// of it, a subscriber, and lines, servers and edges that break (see HubSums, docs/adr/0038).
package demo
