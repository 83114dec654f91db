"""Fitting an image into a model's input without distortion, and boxes back, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sightline.records.frames import Image
from sightline.records.windows import FloatArray

PAD_LEVEL = 114
"""Grey around the image: what the YOLO family is trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """How an image of one size lies in a model's input.

    The scale is kept for each axis, since sizes are rounded to whole pixels: a box survives the
    way there and back to the last bits, whatever the sizes.

    Attributes:
        image_px: (width, height) of the image.
        inside_px: (width, height) it has inside the input.
        offset_px: (left, top) of it inside the input.
        input_px: (width, height) of the input.

    >>> box = Letterbox.keep_aspect(image_px=(200, 100), input_px=(64, 64))
    >>> box.inside_px, box.offset_px
    ((64, 32), (0, 16))
    >>> box.to_image(np.array([[0.0, 16.0, 64.0, 48.0]])).tolist()
    [[0.0, 0.0, 200.0, 100.0]]
    """

    image_px: tuple[int, int]
    inside_px: tuple[int, int]
    offset_px: tuple[int, int]
    input_px: tuple[int, int]

    @classmethod
    def keep_aspect(cls, *, image_px: tuple[int, int], input_px: tuple[int, int]) -> Letterbox:
        """As large as it fits, in the middle."""
        scale = min(input_px[0] / image_px[0], input_px[1] / image_px[1])
        width_px = max(1, min(input_px[0], round(image_px[0] * scale)))
        height_px = max(1, min(input_px[1], round(image_px[1] * scale)))
        return cls(
            image_px=image_px,
            inside_px=(width_px, height_px),
            offset_px=((input_px[0] - width_px) // 2, (input_px[1] - height_px) // 2),
            input_px=input_px,
        )

    @classmethod
    def stretch(cls, *, image_px: tuple[int, int], input_px: tuple[int, int]) -> Letterbox:
        """Over the whole input, distorted: what most of the DETR family is trained with."""
        return cls(image_px=image_px, inside_px=input_px, offset_px=(0, 0), input_px=input_px)

    def place(self, image: Image) -> Image:
        """uint8[input height, input width, 3] from uint8[image height, image width, 3]."""
        if self.inside_px != self.image_px:
            image = cv2.resize(image, self.inside_px, interpolation=cv2.INTER_LINEAR).astype(
                np.uint8, copy=False
            )
        if self.inside_px == self.input_px:
            return image
        placed = np.full((self.input_px[1], self.input_px[0], 3), PAD_LEVEL, np.uint8)
        left, top = self.offset_px
        placed[top : top + self.inside_px[1], left : left + self.inside_px[0]] = image
        return placed

    def to_image(self, box_px: FloatArray) -> FloatArray:
        """float64[n, 4] left, top, right, bottom, from px of the input to px of the image."""
        offset = np.array(self.offset_px * 2, np.float64)
        scale = np.array(self.inside_px * 2) / np.array(self.image_px * 2)
        found: FloatArray = (box_px - offset) / scale
        return found
