"""Frames through the engine: the same log, host and replay as for telemetry."""
