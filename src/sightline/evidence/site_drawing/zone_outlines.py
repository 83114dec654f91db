"""Zones in a camera's picture: what of them is seen, computed once for a run."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sightline.assess.site.polygon import Polygon
from sightline.assess.site.zones import SiteZone
from sightline.records.camera import CameraModel
from sightline.records.windows import FloatArray

_STEP_M = 0.1  # of the densified border: a straight line on the ground may be bent by the lens
_MOST_POINTS = 4000
"""Points of one densified border. A longer one gets longer steps."""
_SAME_M = 0.05  # a ground point that comes back further away has been folded over by the lens
_EDGES_AT_ONCE = 4_000_000
"""Pairs of a pixel and an edge of the polygon that are looked at together: about 100 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZoneOutline:
    """One zone as it is seen in a picture of some size.

    Attributes:
        name: of the zone.
        is_forbidden: whether nobody may be in it.
        border_px: float64[k, 2], its border, closed, NaN where it is not seen.
        mask: uint8[h, w], 255 where it is, cut to its extent in the picture.
        corner_px: (x, y) of the mask's top-left pixel.
    """

    name: str
    is_forbidden: bool
    border_px: FloatArray
    mask: npt.NDArray[np.uint8]
    corner_px: tuple[int, int]

    @property
    def label_px(self) -> tuple[int, int] | None:
        """(x, y) under the middle of its nearer end; None if nothing of it is in the picture."""
        height = len(self.mask)
        if not self.mask.any():
            return None
        _, columns = np.nonzero(self.mask[height - max(height // 10, 1) :])
        return self.corner_px[0] + int(columns.mean()), self.corner_px[1] + height


def zone_outline(
    zone: SiteZone, camera: CameraModel | None, *, size_px: tuple[int, int], scale: float
) -> ZoneOutline:
    """A zone in a picture drawn at ``scale`` times the size of the camera's.

    A border on the ground is densified and projected; points behind the camera, or which the lens
    would fold over, break it. The area is found the other way round: each pixel is looked up on
    the ground, so it is right however the border is cut.

    Args:
        zone: in px, or in metres.
        camera: needed for zones in metres.
        size_px: (width, height) of the drawn picture.
        scale: drawn px / camera px.
    """
    if zone.polygon.unit == "px" or camera is None:
        border = np.vstack([zone.polygon.vertices, zone.polygon.vertices[:1]])
        mask = np.zeros(size_px[::-1], np.uint8)
        cv2.fillPoly(mask, [np.rint(border * scale).astype(np.int32)], 255)
    else:
        border = projected_border(zone.polygon, camera)
        mask = _ground_mask(zone.polygon, camera, size_px, scale)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corner = (int(columns[0]), int(rows[0])) if len(rows) else (0, 0)
    end = (int(columns[-1]) + 1, int(rows[-1]) + 1) if len(rows) else (0, 0)
    return ZoneOutline(
        name=zone.name,
        is_forbidden=zone.is_forbidden,
        border_px=border * scale,
        mask=np.ascontiguousarray(mask[corner[1] : end[1], corner[0] : end[0]]),
        corner_px=corner,
    )


def projected_border(polygon: Polygon, camera: CameraModel) -> FloatArray:
    """float64[k, 2] px, the densified closed border; NaN where the camera does not see it.

    Args:
        polygon: in metres.
        camera: of the picture.
    """
    ground = dense_border(polygon)
    pixels = camera.pixel_from_ground(ground)
    again = camera.ground_from_pixel(pixels)
    with np.errstate(invalid="ignore"):
        is_seen = np.linalg.norm(again - ground, axis=1) < _SAME_M
    found: FloatArray = np.where(is_seen[:, None], pixels, np.nan)
    return found


def dense_border(polygon: Polygon) -> FloatArray:
    """float64[k, 2], the closed border with a point at least every tenth of a unit.

    >>> len(dense_border(Polygon.of([(0, 0), (1, 0), (1, 1), (0, 1)])))
    41
    """
    corners = np.vstack([polygon.vertices, polygon.vertices[:1]])
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    step = max(_STEP_M, float(lengths.sum()) / _MOST_POINTS)
    parts = [
        np.linspace(a, b, max(round(length / step), 1), endpoint=False)
        for a, b, length in zip(corners[:-1], corners[1:], lengths.tolist(), strict=True)
    ]
    return np.vstack([*parts, corners[-1:]])


def _ground_mask(
    polygon: Polygon, camera: CameraModel, size_px: tuple[int, int], scale: float
) -> npt.NDArray[np.uint8]:
    """uint8[height, width], 255 where a pixel's middle shows ground inside the polygon."""
    width, height = size_px
    mask = np.zeros((height, width), np.uint8)
    x = (np.arange(width) + 0.5) / scale
    rows = max(_EDGES_AT_ONCE // (width * len(polygon.vertices)), 1)
    for top in range(0, height, rows):
        y = (np.arange(top, min(top + rows, height)) + 0.5) / scale
        pixels = np.stack(np.meshgrid(x, y), axis=-1)
        ground = camera.ground_from_pixel(pixels.reshape(-1, 2))
        low, high = polygon.vertices.min(axis=0), polygon.vertices.max(axis=0)
        with np.errstate(invalid="ignore"):
            is_near = ((ground >= low) & (ground <= high)).all(axis=1)
        is_inside = np.zeros(len(ground), np.bool_)
        is_inside[is_near] = polygon.contains(ground[is_near])
        mask[top : top + len(y)] = is_inside.reshape(len(y), width) * np.uint8(255)
    return mask
