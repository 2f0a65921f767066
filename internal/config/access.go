package config

import (
	"slices"
	"strings"
)

// Names of the sinks that this version has, in the order in which they are listed.
const (
	Uralsib = "uralsib"
	Proxima = "proxima"
)

var sinkNames = []string{Uralsib, Proxima}

// KnownSinks lists the sinks of this version, configured or not.
func KnownSinks() []string { return slices.Clone(sinkNames) }

// Sink is the settings of a sink, nil if the configuration has none for it.
func (c *Config) Sink(name string) *Sink {
	if to := c.Sinks.named(name); to != nil {
		return *to
	}
	return nil
}

func (s *Sinks) named(name string) **Sink {
	switch name {
	case Uralsib:
		return &s.Uralsib
	case Proxima:
		return &s.Proxima
	}
	return nil
}

// SignatureSinks is where the events of a signature go, nil if it is unknown.
func (c *Config) SignatureSinks(signature string) []string {
	for _, s := range c.Terminal.Signatures {
		if s.Name == signature {
			return s.Sinks
		}
	}
	return nil
}

// SinkNames lists the sinks that the configuration knows: those with settings
// and those that a signature names.
func (c *Config) SinkNames() []string {
	var names []string
	for _, name := range sinkNames {
		if c.Sink(name) != nil || c.fedBySignature(name) {
			names = append(names, name)
		}
	}
	return names
}

func (c *Config) fedBySignature(sink string) bool {
	return slices.ContainsFunc(c.Terminal.Signatures, func(s Signature) bool {
		return slices.Contains(s.Sinks, sink)
	})
}

// AtHub tells whether these are the settings of programs at the hub.
func (c *Config) AtHub() bool { return c.Place == PlaceHub }

// RoutedAtHub tells whether this is an edge whose terminal is routed at the hub.
func (c *Config) RoutedAtHub() bool { return c.Place == PlaceEdge && c.Hub.Route == PlaceHub }

// RoutedHere refuses, as Problems, to have router and sinks run at an edge whose terminal
// is routed at the hub (SPEC 10: a terminal is routed at one place).
func (c *Config) RoutedHere() error {
	if !c.RoutedAtHub() {
		return nil
	}
	var ps Problems
	ps.add(c.at("hub.route"), "route: this terminal is routed at the hub: router and sinks run there and not here")
	return ps.err(c.File)
}

// EdgeHere refuses, as Problems, to have an edge run at the hub.
func (c *Config) EdgeHere() error {
	if !c.AtHub() {
		return nil
	}
	var ps Problems
	ps.add(c.at("place"), "place: at the hub there is no edge: router, sinks and vestnik use this file")
	return ps.err(c.File)
}

// Hosts tells whether the edge runs a part in its own process.
func (c *Config) Hosts(part string) bool { return slices.Contains(c.Run, part) }

// at is the place of a setting that the file holds, else of the block that it
// is missing from.
func (c *Config) at(setting string) place {
	for setting != "" {
		if p, ok := c.places[setting]; ok {
			return p
		}
		setting = setting[:max(0, strings.LastIndexByte(setting, '.'))]
	}
	return place{c.File, 1, 1}
}
