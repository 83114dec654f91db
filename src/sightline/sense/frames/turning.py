"""How a picture is to be turned before it is shown, as its file asks.

A camera that is held or mounted on its side says so beside the picture: in the display matrix of a
video, in the EXIF of an image. Every player heeds it, and so does Sightline: sizes, zones and boxes
are those of the picture as it is shown.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from sightline.records.frames import Image

AS_STORED = ""
"""Not turned. A turning is written as letters: ``t`` transposed, then ``x`` left and right swapped,
then ``y`` top and bottom swapped."""
_MATRIX = struct.Struct("<9i")
_LARGEST_SKEW = 0.02


def turning_of(matrix: bytes) -> str | None:
    """The turning of a display matrix; None where it is by no quarter turns.

    Args:
        matrix: nine int32 as in FFmpeg's ``AV_FRAME_DATA_DISPLAYMATRIX``: a point (x, y) of the
            stored picture is shown at (a x + c y, b x + d y), where a, b, c and d are the numbers
            at places 0, 1, 3 and 4. What is no such matrix turns nothing.

    >>> import struct
    >>> turning_of(struct.pack("<9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
    'tx'
    """
    if len(matrix) != _MATRIX.size:
        return AS_STORED
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    if not any((a, b, c, d)):
        return AS_STORED
    is_transposed = math.hypot(b, c) > math.hypot(a, d)
    to_x, to_y, aside = (c, b, math.hypot(a, d)) if is_transposed else (a, d, math.hypot(b, c))
    if aside > _LARGEST_SKEW * math.hypot(to_x, to_y) or not (to_x and to_y):
        return None
    letters = (("t", is_transposed), ("x", to_x < 0), ("y", to_y < 0))
    return "".join(letter for letter, is_set in letters if is_set)


def turned(pixels: Image, turning: str) -> Image:
    """The picture as it is shown; itself where nothing is to be done.

    >>> turned(np.array([[1, 2], [3, 4]], np.uint8), "tx").tolist()
    [[3, 1], [4, 2]]
    """
    if "t" in turning:
        pixels = np.swapaxes(pixels, 0, 1)
    if "x" in turning:
        pixels = pixels[:, ::-1]
    if "y" in turning:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
