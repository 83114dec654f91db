"""How tall a person appears, by where its feet are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.perceive.detect.detector import version_digest
from sightline.records.windows import FloatArray

REFERENCE_HEIGHT_M = 1.7
"""The person whose height in pixels the maps give; others are taller or shorter by a factor."""

BELOW_SHARE = 0.125
"""Feet are looked for this far below the image too, as a share of its height."""

GRID_PX = 8
"""The perspective is asked at every eighth row and column; between, heights are linear to well
below a pixel, and a first frame does not wait a quarter of a second for its tables."""

_ASPECT_TOLERANCE = 0.01


class GroundCamera(Protocol):
    """What is asked of a camera model; ``records.CameraModel`` has it."""

    @property
    def image_size_px(self) -> tuple[int, int]:
        """(width, height) of the image it was calibrated for."""

    @property
    def digest(self) -> str:
        """Hex digest over its numbers."""

    def image_height_px(self, foot_px: FloatArray, height_m: float) -> FloatArray:
        """float64[n] px, of something upright at float64[n, 2] px; NaN where there is no ground."""


class PersonSize(Protocol):
    """Knows how tall a person of ``REFERENCE_HEIGHT_M`` appears."""

    @property
    def digest(self) -> str:
        """Hex digest over all that decides the sizes."""

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """float64[n] heights in px for float64[n, 2] feet (x, y), 0 where nobody can stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPersonSize:
    """Sizes from the perspective of a calibrated camera.

    Frames may be larger or smaller than the calibrated image, but of its aspect ratio: a picture
    that was cropped or stretched needs a calibration of its own.

    Raises:
        UsageError: from the camera, if it knows nothing above the ground; use
            :class:`RowPersonSize` then.
    """

    camera: GroundCamera

    def __post_init__(self) -> None:
        # A camera that knows the ground only refuses here, and not in the first frame.
        width_px, height_px = self.camera.image_size_px
        self.camera.image_height_px(np.array([[width_px / 2, height_px]]), REFERENCE_HEIGHT_M)

    @property
    def digest(self) -> str:
        return version_digest({"camera": self.camera.digest})

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """See :class:`PersonSize`.

        Raises:
            UsageError: if the frame has another aspect ratio.
        """
        width_px, height_px = frame_size_px
        calibrated_px = self.camera.image_size_px
        scale = width_px / calibrated_px[0]
        if abs(height_px / (scale * calibrated_px[1]) - 1.0) > _ASPECT_TOLERANCE:
            raise UsageError(
                expected=f"frames with the aspect ratio of {calibrated_px[0]} x {calibrated_px[1]}",
                got=f"{width_px} x {height_px}",
                where="person sizes from a camera model",
                action="calibrate the camera for these frames",
            )
        found = self.camera.image_height_px(foot_px / scale, REFERENCE_HEIGHT_M) * scale
        return np.nan_to_num(np.maximum(found, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPersonSize:
    """Sizes without a camera model: linear in the row of the feet.

    Over flat ground and a camera without tilt to the side this is the perspective itself.
    Equal numbers mean a view from straight above or one depth.

    Attributes:
        at_top_px: height of a person whose feet are at the top of the image; may be negative,
            then nobody stands above some row.
        at_bottom_px: the same at the bottom.
    """

    at_top_px: float
    at_bottom_px: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.at_top_px) and self.at_bottom_px > 0):
            raise UsageError(
                expected="finite heights, the one at the bottom > 0",
                got=f"{self.at_top_px} and {self.at_bottom_px}",
                where="person sizes by row",
                action="measure a person near the lower and one near the upper edge",
            )

    @property
    def digest(self) -> str:
        return version_digest({"at_top_px": self.at_top_px, "at_bottom_px": self.at_bottom_px})

    def heights_px(self, foot_px: FloatArray, *, frame_size_px: tuple[int, int]) -> FloatArray:
        """See :class:`PersonSize`."""
        share = foot_px[:, 1] / frame_size_px[1]
        found: FloatArray = self.at_top_px + share * (self.at_bottom_px - self.at_top_px)
        return np.maximum(found, 0.0)


def height_map(
    size: PersonSize, *, frame_size_px: tuple[int, int], work_size_px: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """float32[h + below + 1, w]: heights in work px of a person whose feet are at the upper edge
    of that row, in the middle of that column, of a work image of (w, h).

    >>> rows = height_map(RowPersonSize(at_top_px=0, at_bottom_px=80), frame_size_px=(40, 80),
    ...                   work_size_px=(20, 40))
    >>> rows.shape, float(rows[20, 0])
    ((46, 20), 20.0)
    """
    width_px, height_px = work_size_px
    below_px = round(BELOW_SHARE * height_px)
    rows, columns = height_px + below_px + 1, width_px
    y, x = np.mgrid[0 : rows + GRID_PX : GRID_PX, 0 : columns + GRID_PX : GRID_PX]
    across, down = frame_size_px[0] / width_px, frame_size_px[1] / height_px
    feet = np.column_stack([(x.ravel() + 0.5) * across, y.ravel() * down])
    known = size.heights_px(feet, frame_size_px=frame_size_px).reshape(x.shape) / down
    at_row, part_row = np.divmod(np.arange(rows), GRID_PX)
    at_column, part_column = np.divmod(np.arange(columns), GRID_PX)
    part = part_row[:, None] / GRID_PX
    by_row = (1 - part) * known[at_row] + part * known[at_row + 1]
    part = part_column / GRID_PX
    heights = (1 - part) * by_row[:, at_column] + part * by_row[:, at_column + 1]
    return np.ascontiguousarray(heights, np.float32)
