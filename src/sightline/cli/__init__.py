"""The command line: one door to everything."""

from sightline.cli.main import main

__all__ = ["main"]
