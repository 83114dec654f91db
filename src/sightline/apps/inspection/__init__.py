"""The inspection application: parts of a line, by pictures, process signals and an encoder."""

from pathlib import Path

from sightline.apps.inspection.line_scene import (
    LineCamera,
    LineFaults,
    LineScene,
    write_line,
    write_pipelines,
)

PIPELINE = Path(__file__).with_name("inspection.yaml")
"""One camera and the line's signals."""
LINE_PIPELINE = Path(__file__).with_name("line.yaml")
"""Three stations, two process sensors and drift of the score."""
CONTRACT = Path(__file__).with_name("process.contract.yaml")
"""What both promise of the line's signals."""

__all__ = [
    "CONTRACT",
    "LINE_PIPELINE",
    "PIPELINE",
    "LineCamera",
    "LineFaults",
    "LineScene",
    "write_line",
    "write_pipelines",
]
