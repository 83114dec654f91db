"""Score maps as 16-bit PNG, and heat as a picture for people."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from sightline.errors import writing
from sightline.evidence.inspection.scores import HEAT_TOP
from sightline.perceive.inspection.floats import Floats
from sightline.records.frames import Image

_LEVELS = 65535
_FAINTEST, _STRONGEST = 0.25, 0.6
"""How red a pixel is that is just marked, and one of twice that heat and more."""


def write_map(folder: Path, name: str, heat: Floats) -> Path:
    """``folder/maps/NAME.png``: uint16, 0 for no heat, 65535 for 4 and more; 16384 is marked.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / "maps" / Path(name).with_suffix(".png")
    levels = np.clip(np.round(heat * (_LEVELS / HEAT_TOP)), 0, _LEVELS).astype(np.uint16)
    return write_png(path, levels)


def write_png(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Path:
    """Write pixels, and the folders above.

    Raises:
        StorageError: it cannot be written.
    """
    _, encoded = cv2.imencode(".png", pixels)  # type: ignore[arg-type]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    return path


def heat_picture(picture: Image, heat: Floats, boxes: Floats) -> Image:
    """uint8[h, w, 3]: the picture, red where it is marked (heat of 1 and more), with boxes.

    What is below the mark is left as it is, so that an accepted picture looks as it was taken.

    >>> heat = np.array([[0.999, 1.0, 2.0]], np.float32)
    >>> heat_picture(np.zeros((1, 3), np.uint8), heat, np.zeros((0, 5)))[0, :, 2].tolist()
    [0, 63, 153]
    """
    plain = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    above = np.clip(heat - 1, 0, 1) * (_STRONGEST - _FAINTEST)
    share = np.where(heat >= 1, _FAINTEST + above, 0)[:, :, None]
    red = np.zeros_like(plain)
    red[:, :, 2] = 255
    mixed = np.asarray(plain * (1 - share) + red * share, np.uint8)
    for x1, y1, x2, y2 in boxes[:, :4].round().astype(int).tolist():
        cv2.rectangle(mixed, (x1, y1), (x2 - 1, y2 - 1), (0, 220, 255), 1)
    return mixed
