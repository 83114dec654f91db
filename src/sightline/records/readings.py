"""Readings: numbers that were measured on one item, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
"""Named arrays: what a guarded stage asks, and what it is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was measured on one frame.

    Attributes:
        stream: name of the camera.
        capture_ns: capture time of the frame, UTC ns.
        values: by name, each in the unit that its stage declares; NaN: could not be measured.
    """

    stream: str
    capture_ns: int
    values: Mapping[str, float]
