"""Sightline: raw sensor streams in, audited decisions out, on time."""
