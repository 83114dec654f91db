"""The strongest echo of an ultrasonic B-scan, and the scan as a picture.

Layers that lie the same way under every place of the probe (surface, interfaces) are taken off: of
each depth, the median over the places. What is left is averaged over the size of an echo, because
grain gives single high values and a flaw a patch of them, and held against what is usual there.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sightline.perceive.inspection.floats import Floats
from sightline.records.frames import Image

ECHO_ROWS, ECHO_COLUMNS = 17, 7
"""Size of the patch that is averaged, in samples of depth and places of the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The strongest echo.

    Attributes:
        signal: its mean amplitude, over the median of that of the scan; about 1 is grain.
        row, column: of its middle.
    """

    signal: float
    row: int
    column: int


def strongest_echo(scan: npt.NDArray[np.uint16]) -> Echo:
    """Of uint16[rows, columns], at least 17 x 7.

    >>> scan = np.full((64, 64), 100, np.uint16); scan[::2] += 40; scan[20:40, 30:38] = 900
    >>> found = strongest_echo(scan)
    >>> found.signal > 5, abs(found.row - 30) <= 4, abs(found.column - 34) <= 4
    (True, True, True)
    """
    patches = _patches(scan)
    row, column = divmod(int(patches.argmax()), patches.shape[1])
    return Echo(signal=float(patches[row, column]), row=row, column=column)


def scan_picture(scan: npt.NDArray[np.uint16], echo: Echo, *, is_called: bool) -> Image:
    """uint8[rows, columns, 3]: amplitude in grey, the strongest echo framed, red if called."""
    top = float(np.percentile(scan, 99.5)) or 1.0
    grey = np.clip(scan.astype(np.float32) * (255 / top), 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    colour = (0, 0, 230) if is_called else (160, 160, 0)
    begin = (echo.column - ECHO_COLUMNS, echo.row - ECHO_ROWS)
    end = (echo.column + ECHO_COLUMNS, echo.row + ECHO_ROWS)
    cv2.rectangle(picture, begin, end, colour, 1)
    return picture


def _patches(scan: npt.NDArray[np.uint16]) -> Floats:
    wide = scan.astype(np.float32)
    beside = np.abs(wide - np.median(wide, axis=1, keepdims=True))
    size = (ECHO_COLUMNS, ECHO_ROWS)
    mean = np.asarray(cv2.blur(beside, size, borderType=cv2.BORDER_REFLECT_101), np.float32)
    return np.asarray(mean / max(float(np.median(mean)), 1.0))
