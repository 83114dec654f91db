"""Sightline: raw sensor streams in, audited decisions out, on time."""

__version__ = "0.1.0"
