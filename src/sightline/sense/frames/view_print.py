"""The print of a view: so little of a picture that it fits a line, and enough to tell its camera.

``sightline init`` writes one beside each camera; a run that is given another camera's pictures can
then say so. It is made of edges, which stay where they are by night and in the sun: somebody who
walks by, or another light, hardly changes it, while another place has its edges elsewhere.
"""

from __future__ import annotations

import re
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator

from sightline.records.frames import Image
from sightline.records.windows import FloatArray
from sightline.sense.frames.usual_view import COLUMNS, ROWS, measure_picture

_LEVELS = 7  # to each side of none: one hex digit, 1 to f
_LEAST_MEAN = 0.02
"""Length of the mean direction of edges in some block, below which a picture has no edges."""
_DIGITS = 2 * ROWS * COLUMNS
"""A digit for each of x and y of each block; 8: none."""


def _as_written(text: str) -> str:
    if not re.fullmatch(rf"[1-9a-f]{{{_DIGITS}}}", text):
        raise ValueError(f"the {_DIGITS} digits that `sightline init` writes of a camera")
    return text


ViewPrint = Annotated[str, AfterValidator(_as_written)]
"""A print as text, in a pipeline file."""


def view_print(pixels: Image) -> str | None:
    """The mean direction across the edges in each of 6 x 8 blocks, as 96 hex digits.

    Args:
        pixels: uint8[height, width, 3] (blue, green, red) or uint8[height, width].

    Returns:
        None where the picture is too small (below about 48 px) or has hardly an edge.

    >>> view_print(np.zeros((120, 160), np.uint8)) is None
    True
    """
    seen = measure_picture(pixels)
    if seen is None:
        return None
    means = np.stack([_block_means(part) for part in seen.directions])
    longest = float(np.abs(means).max())
    if longest < _LEAST_MEAN:
        return None
    digits = np.rint(means / longest * _LEVELS).astype(int) + _LEVELS + 1
    return "".join(f"{digit:x}" for digit in digits.ravel().tolist())


def likeness(one: str, other: str) -> float:
    """How alike two views are by their prints: 1 the same, about 0 two places, -1 the opposite.

    >>> likeness("f8" * 48, "f8" * 48), likeness("f8" * 48, "8f" * 48)
    (1.0, 0.0)
    """
    a, b = _directions(one), _directions(other)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return round(float(a @ b) / size, 6) if size else 0.0


def _directions(text: str) -> FloatArray:
    return np.array([int(digit, 16) - _LEVELS - 1 for digit in text], np.float64)


def _block_means(values: npt.NDArray[np.float32]) -> FloatArray:
    """float64[6, 8]; what is left over at the right and lower edge is not looked at."""
    high, wide = values.shape[0] // ROWS, values.shape[1] // COLUMNS
    even = values[: high * ROWS, : wide * COLUMNS]
    return np.asarray(even.reshape(ROWS, high, COLUMNS, wide).mean(axis=(1, 3)), np.float64)
