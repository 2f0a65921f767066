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
