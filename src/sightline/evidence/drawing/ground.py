"""The ground from above, and zones as a camera sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sightline.assess.site.polygon import Polygon
from sightline.assess.site.zones import SiteZone
from sightline.evidence.drawing import palette
from sightline.evidence.drawing.marks import (
    blank,
    ellipse_points,
    fill_polygon,
    fill_rect,
    put_arrow,
    put_dot,
    put_line,
    put_text,
    tint,
)
from sightline.evidence.drawing.scenes import CameraScene
from sightline.records.camera import CameraModel
from sightline.records.frames import Image
from sightline.records.windows import FloatArray

ELLIPSE_SCALE = float(np.sqrt(-2 * np.log(0.05)))
"""Mahalanobis distance that holds 95 % of a normal distribution in the plane: 2.45."""
ARROW_S = 1.0
"""A velocity arrow ends where one would be after so long."""
_GRID_M = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_GRID_LEAST_PX = 28.0
_SAMPLES = 40  # of the picture in each direction, to find what ground it shows
_AROUND = 0.06  # of the extent, left free around it
_LEAST_M = 4.0
_WIDEST_M = 20.0  # of ground across the picture, beyond which a plan shows no more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanView:
    """Where metres are in a picture of the ground, x to the right and y up.

    Attributes:
        size_px: (width, height) of the picture.
        centre_m: float64[2], ground point in its middle.
        px_per_m: the same in both directions.
        seen_m: float64[k, 2], border of the ground in the camera's picture; NaN where it has none.

    >>> view = PlanView(size_px=(200, 100), centre_m=np.array([5.0, 0.0]), px_per_m=10.0,
    ...                 seen_m=np.empty((0, 2)))
    >>> view.pixels(np.array([[5.0, 0.0], [6.0, 1.0]])).tolist()
    [[100.0, 50.0], [110.0, 40.0]]
    """

    size_px: tuple[int, int]
    centre_m: FloatArray
    px_per_m: float
    seen_m: FloatArray

    def pixels(self, xy_m: FloatArray) -> FloatArray:
        """float64[n, 2] px of float64[n, 2] metres."""
        middle = np.array(self.size_px) / 2
        found: FloatArray = middle + (xy_m - self.centre_m) * [self.px_per_m, -self.px_per_m]
        return found


def plan_view(
    camera: CameraModel, zones: Sequence[SiteZone], *, size_px: tuple[int, int]
) -> PlanView:
    """A view that shows the zones, and the ground near enough for its picture to be of use.

    That is where a metre is at least a 20th of the picture's width: the rows under the
    horizon, which run to infinity, do not stretch it.
    """
    width, height = camera.image_size_px
    x, y = (np.arange(_SAMPLES) + 0.5) * width / _SAMPLES, np.linspace(0, height, _SAMPLES)
    pixels = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    ground, jacobian = camera.ground_from_pixel(pixels), camera.ground_jacobian(pixels)
    is_ground = np.isfinite(ground).all(axis=1) & np.isfinite(jacobian).all(axis=(1, 2))
    ground, jacobian = ground[is_ground], jacobian[is_ground]
    # The smallest singular value is across the line of sight, where it is not foreshortened.
    m_per_px = np.linalg.svd(jacobian, compute_uv=False)[:, -1]
    near = ground[m_per_px * width <= _WIDEST_M]
    corners = [zone.polygon.vertices for zone in zones if zone.polygon.unit == "m"]
    corners.append(near if len(near) or corners else ground)
    points = np.vstack([np.zeros((1, 2)) if not sum(map(len, corners)) else corners[0], *corners])
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, _LEAST_M) * (1 + 2 * _AROUND)
    return PlanView(
        size_px=size_px,
        centre_m=(low + high) / 2,
        px_per_m=float((np.array(size_px) / extent).min()),
        seen_m=camera.ground_from_pixel(_border(width, height)),
    )


def draw_ground_plan(
    view: PlanView,
    scene: CameraScene,
    zones: Sequence[SiteZone],
    *,
    machine_classes: frozenset[str] = frozenset(),
) -> Image:
    """The ground at one time.

    Args:
        view: where metres are.
        scene: of the camera.
        zones: of the camera.
        machine_classes: classes of tracks that are machines.

    Returns:
        uint8[height, width, 3].
    """
    image = blank(view.size_px, palette.CARD)
    _draw_grid(image, view)
    put_line(image, view.pixels(view.seen_m), palette.RULE, thickness_px=2)
    for index, zone in enumerate(zones):
        if zone.polygon.unit == "m":
            _draw_zone(image, view, zone, is_at_risk=index in scene.zones_at_risk)
    _draw_tracks(image, view, scene, machine_classes)
    _draw_scale(image, view)
    return image


def _draw_grid(image: Image, view: PlanView) -> None:
    step = _grid_step_m(view)
    half = np.array(view.size_px) / 2 / view.px_per_m
    for axis in (0, 1):
        first = np.ceil((view.centre_m[axis] - half[axis]) / step) * step
        for at in np.arange(first, view.centre_m[axis] + half[axis], step).tolist():
            ends = np.array([view.centre_m - half, view.centre_m + half])
            ends[:, axis] = at
            put_line(image, view.pixels(ends), palette.GRID)


def _grid_step_m(view: PlanView) -> float:
    wide = [step for step in _GRID_M if step * view.px_per_m >= _GRID_LEAST_PX]
    least = 2 * max(view.size_px) / view.px_per_m / 100  # at most 50 lines, however large it is
    return max(wide[0] if wide else _GRID_M[-1], least if not wide else 0.0)


def _draw_zone(image: Image, view: PlanView, zone: SiteZone, *, is_at_risk: bool) -> None:
    corners = view.pixels(zone.polygon.vertices)
    colour = palette.RISK if is_at_risk else palette.ZONE
    mask = np.zeros(image.shape[:2], np.uint8)
    fill_polygon(mask, corners, 255)
    tint(image, mask, (0, 0), colour, share=0.3 if is_at_risk else 0.12)
    put_line(image, corners, colour, thickness_px=2 if is_at_risk else 1, is_closed=True)


def _draw_tracks(
    image: Image, view: PlanView, scene: CameraScene, machine_classes: frozenset[str]
) -> None:
    tracks = scene.tracks
    at_px = view.pixels(tracks.ground_m)
    tips_px = view.pixels(tracks.ground_m + ARROW_S * tracks.velocity_m_s)
    for row in np.flatnonzero(np.isfinite(at_px).all(axis=1)).tolist():
        track_id = int(tracks.track_id[row])
        colour = track_colour(scene, row, machine_classes)
        trail = scene.trail_m.get(track_id)
        if trail is not None:
            put_line(image, view.pixels(trail), tuple(c // 2 for c in colour))  # type: ignore[arg-type]
        border = ellipse_points(tracks.ground_covariance[row, :2, :2], scale=ELLIPSE_SCALE)
        put_line(image, at_px[row] + border * [view.px_per_m, -view.px_per_m], colour)
        put_arrow(image, at_px[row], tips_px[row], colour)
        put_dot(image, at_px[row], colour, radius_px=5.0)
    for row in np.flatnonzero(np.isfinite(at_px).all(axis=1)).tolist():
        x, y = at_px[row].round().astype(int).tolist()
        if 0 <= x < image.shape[1] and 0 <= y < image.shape[0]:
            text, at = str(tracks.track_id[row]), (x + 8, y - 6)
            put_text(image, text, at, palette.TEXT, size_px=palette.SMALL_PX, weight=600)


def track_colour(
    scene: CameraScene, row: int, machine_classes: frozenset[str]
) -> tuple[int, int, int]:
    """Red for who is at risk; machines differ from the others."""
    tracks = scene.tracks
    if int(tracks.track_id[row]) in scene.risk:
        return palette.RISK
    is_machine = tracks.class_names[int(tracks.class_id[row])] in machine_classes
    return palette.MACHINE if is_machine else palette.CALM


def _draw_scale(image: Image, view: PlanView) -> None:
    """A bar of the grid's step, lower right."""
    step = _grid_step_m(view)
    height, width = image.shape[:2]
    length = round(step * view.px_per_m)
    right, y = width - 10, height - 10
    label = f"{step:g} m"
    fill_rect(image, (right - length - 6, y - 22, width, height), palette.CARD)
    fill_rect(image, (right - length, y - 2, right, y), palette.QUIET)
    put_text(image, label, (right, y - 7), palette.QUIET, size_px=palette.SMALL_PX, is_right=True)


def _border(width: int, height: int) -> FloatArray:
    along = np.linspace(0.0, 1.0, 4 * _SAMPLES)
    zero, one = np.zeros_like(along), np.ones_like(along)
    sides = [(along, zero), (one, along), (along[::-1], one), (zero, along[::-1])]
    found: FloatArray = np.vstack([np.stack(s, axis=1) for s in sides]) * [width, height]
    return found


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
