package config

import (
	"net"
	"slices"
)

// Health is where the programs answer for their health (/livez, /readyz, /healthz,
// /metrics). Without an address a program has no such port.
type Health struct {
	Listen   string            // of every program; port 0 = any free one, told in the log
	Programs map[string]string // of one program, instead of Listen
}

// HealthListen is the address of a program's health port, "" = none.
func (c *Config) HealthListen(program string) string {
	if own, ok := c.Health.Programs[program]; ok {
		return own
	}
	return c.Health.Listen
}

// programs are the processes of an installation: what the edge hosts is none.
func (c *Config) programs() []string {
	list := []string{"edge"}
	if !slices.Contains(c.Run, "router") {
		list = append(list, "router")
	}
	for _, s := range c.SinkNames() {
		if !slices.Contains(c.Run, s) {
			list = append(list, "sink-"+s)
		}
	}
	return list
}

func health(h *Health) []setting {
	list := []setting{is("listen", text(&h.Listen, address))}
	names := []string{"edge", "router"}
	for _, s := range sinkNames {
		names = append(names, "sink-"+s)
	}
	for _, name := range names {
		list = append(list, is(name, func(r *reader, n node) {
			var addr string
			if text(&addr, address)(r, n); addr == "" {
				return
			}
			if h.Programs == nil {
				h.Programs = map[string]string{}
			}
			h.Programs[name] = addr
		}))
	}
	return list
}

// healthPorts warns where programs of their own would have to share a port.
func (r *reader) healthPorts() {
	first := map[string]string{}
	for _, program := range r.c.programs() {
		addr := r.c.HealthListen(program)
		_, port, err := net.SplitHostPort(addr)
		if err != nil || port == "0" {
			continue
		}
		if other, taken := first[addr]; taken {
			r.warnings.add(r.c.at("health"), "health: %s and %s cannot both listen on %s: give one an address of its own, health { %s: … }, or port 0", other, program, addr, program)
			continue
		}
		first[addr] = program
	}
}
