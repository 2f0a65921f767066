package config

import "time"

// Default is the configuration of an empty file: every default in one place.
// It names no terminal, no signature and no sink.
func Default() *Config {
	return &Config{
		Place: PlaceEdge,
		Hub:   Hub{Route: PlaceEdge, Replicas: 3},
		Terminal: Terminal{
			Listen:         "127.0.0.1:3333",
			ByteOrder:      "big",
			FrameTimeout:   10 * time.Second,
			IdleTimeout:    60 * time.Second,
			MaxConnections: 1024,
			MaxBody:        65535,
			XMLDepth:       64,
			XMLAttributes:  256,
			Commands:       true,
			RepeatWindow:   10 * time.Minute,
			ConnectTimeout: 5 * time.Second,
			AnswerTimeout:  30 * time.Second,
		},
		NATS:  NATS{URL: "nats://127.0.0.1:4222"},
		Store: Store{KeepAge: 30 * 24 * time.Hour, AuditBytes: 128 << 20, AuditAge: 365 * 24 * time.Hour, WhenFull: "refuse"},
		Log:   Log{Level: "info"},
	}
}

// DefaultSink is the settings of a sink without any of its own.
func DefaultSink() *Sink {
	return &Sink{
		Timeout:      10 * time.Second,
		MaxInFlight:  32,
		RetryMin:     time.Second,
		RetryMax:     5 * time.Minute,
		AsideMin:     time.Minute,
		Format:       "structured",
		PollParallel: 64,
	}
}
