package faultfs

import "strings"

// Only lets failing writes and fsyncs meet nothing but files and folders whose path
// below Path contains a text, "" = all; Heal takes that back, too.
func (d *Disk) Only(part string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.only = part
}

// hit tells whether faults meet a node.
func (d *Disk) hit(n *node) bool {
	if d.faults.only == "" {
		return true
	}
	met := false
	d.walk(d.nodes[rootID], "", func(name string, one *node) {
		met = met || one == n && strings.Contains(name, d.faults.only)
	})
	return met
}
