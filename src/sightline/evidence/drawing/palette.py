"""Colours (blue, green, red) and sizes of the drawing, in one place."""

from __future__ import annotations

from sightline.records.command import CommandLevel

Colour = tuple[int, int, int]

CANVAS: Colour = (30, 26, 23)
CARD: Colour = (43, 37, 33)
RULE: Colour = (74, 66, 60)
GRID: Colour = (53, 46, 42)
TEXT: Colour = (238, 235, 232)
QUIET: Colour = (168, 160, 152)
NO_PICTURE: Colour = (92, 88, 84)

CALM: Colour = (224, 206, 128)
"""A track that nothing is said about."""
MACHINE: Colour = (240, 160, 84)
"""A track of a class that a machine of the pipeline has."""
RISK: Colour = (66, 60, 232)
CAUTION: Colour = (64, 196, 246)
ZONE: Colour = (220, 214, 208)
INK: Colour = (24, 20, 18)
"""Text on a bright ground."""

LEVELS: dict[CommandLevel, Colour] = {
    CommandLevel.NONE: (104, 174, 74),
    CommandLevel.WARN: (52, 200, 244),
    CommandLevel.SLOW: (36, 134, 246),
    CommandLevel.STOP: (52, 48, 222),
}
"""Green, yellow, orange, red; the bar also says the level in words."""

MARGIN_PX = 12
HEADER_PX = 34
"""Height of the strip above a camera's picture."""
SIDE_PX = 348
"""Width of the column with machines and ground plans."""
SMALL_PX, BODY_PX, TITLE_PX = 13, 15, 20
"""Heights of text."""
