"""Frames: one image of one camera, with the time at which it was taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One image.

    Attributes:
        stream: name of the camera in the pipeline.
        index: the source's own frame counter, from 0; gaps are frames that never came.
        capture_ns: when the image was taken, UTC ns. All motion is computed from it, never from
            ``index``.
        received_ns: when it reached us, UTC ns; its age counts from ``capture_ns``.
        pixels: uint8[height, width, 3] in the order blue, green, red (OpenCV's), or
            uint8[height, width] for grey. Not to be written to: a frame may be shared.
        empty_ns: capture time of the newest frame of which somebody who has looked says that it
            shows nobody, UTC ns; -1: of none.

    >>> frame = Frame(stream="yard", index=0, capture_ns=0, received_ns=5,
    ...               pixels=np.zeros((4, 6, 3), np.uint8))
    >>> frame.width_px, frame.height_px, frame.channels
    (6, 4, 3)
    """

    stream: str
    index: int
    capture_ns: int
    received_ns: int
    pixels: Image
    empty_ns: int = -1

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)
        if self.pixels.dtype != np.uint8 or not is_image or 0 in shape:
            raise UsageError(
                expected="uint8[height, width, 3] or uint8[height, width], not empty",
                got=f"{self.pixels.dtype}{list(shape)}",
                where=f"frame {self.index} of stream {self.stream}",
                action="convert the image before it becomes a frame",
            )

    @property
    def width_px(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def channels(self) -> int:
        """3 for blue, green, red; 1 for grey."""
        return 1 if self.pixels.ndim == 2 else 3
