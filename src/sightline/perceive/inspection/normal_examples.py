"""Where the patches of a memory came from, so that people see what a picture was compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightline.perceive.inspection.cells import CELL_PX, Cells
from sightline.perceive.inspection.patch_memory import PatchMemory
from sightline.records.frames import Image
from sightline.records.windows import IntArray

CROP_PX = 24
"""Side of what is shown of a patch: its cell and one around it."""
_NAMES = ("example_picture", "example_px", "example_crops")


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalExamples:
    """One good picture's place for each vector of a memory.

    Attributes:
        picture: int64[n], place of the picture in the card's ``memory_pictures``.
        place_px: int64[n, 2], x and y of the cell's corner in the picture.
        crops: uint8[n, 24, 24] or [n, 24, 24, 3], the cell in its middle.
    """

    picture: IntArray
    place_px: IntArray
    crops: Image

    def as_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it as arrays by name."""
        return dict(zip(_NAMES, (self.picture, self.place_px, self.crops), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> NormalExamples | None:
        """Inverse of :meth:`as_arrays`; None of a model that was learnt without them."""
        if _NAMES[0] not in arrays:
            return None
        picture, place_px, crops = (arrays[name] for name in _NAMES)
        return cls(picture=picture, place_px=place_px, crops=crops)


def find_examples(
    memory: PatchMemory, pictures: Sequence[Callable[[], Image]], cells: Cells, *, scale: float
) -> NormalExamples:
    """Find where each vector of a memory was seen: the nearest cell of all pictures.

    Args:
        memory: of normal patches.
        pictures: good ones, those that it was learnt from among them; each is looked at once.
        cells: makes cells of pictures.
        scale: factor by which it enlarges them.
    """
    count = len(memory.vectors)
    nearest = np.full(count, np.inf, np.float32)
    picture = np.zeros(count, np.int64)
    place_px = np.zeros((count, 2), np.int64)
    crops: Image | None = None
    for number, read in enumerate(pictures):
        pixels = read()
        features = cells(pixels)
        square, flat = memory.nearest_cells(features)
        closer = np.flatnonzero(square < nearest)
        if crops is None:
            crops = np.zeros((count, CROP_PX, CROP_PX, *pixels.shape[2:]), np.uint8)
        nearest[closer], picture[closer] = square[closer], number
        rows, columns = np.divmod(flat[closer], features.shape[1])
        places = np.stack([columns, rows], axis=1) * (CELL_PX / scale)
        place_px[closer] = np.rint(places).astype(np.int64)
        bordered = cv2.copyMakeBorder(
            pixels, CROP_PX, CROP_PX, CROP_PX, CROP_PX, cv2.BORDER_REFLECT_101
        )
        begin = CROP_PX - (CROP_PX - round(CELL_PX / scale)) // 2
        for i in closer.tolist():
            x, y = (place_px[i] + begin).tolist()
            crops[i] = bordered[y : y + CROP_PX, x : x + CROP_PX]
    assert crops is not None
    return NormalExamples(picture=picture, place_px=place_px, crops=crops)
