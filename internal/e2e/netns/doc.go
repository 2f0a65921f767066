// Package netns gives tests a network between two computers that are one: a Space is a
// network namespace, a Wire joins it to this one. The test process itself is the wire: it
// carries each packet from one TUN device to another, or does not. So a wire is cut, silent
// in either direction, lossy by a seed or slow, exactly, and without the kernel's traffic
// control or packet filter, which build machines seldom have whole.
//
// Nothing is left behind: spaces and devices end with the process that made them.
//
// Linux, and the right to make namespaces and devices (root). Elsewhere New skips the test.
package netns
