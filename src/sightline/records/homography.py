"""A ground homography from four or more points known both in the image and on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sightline.errors import UsageError
from sightline.records.windows import FloatArray

MIN_POINTS = 4
MIN_SPREAD = 0.003
"""Smallest second-to-last singular value of the design over its largest, no unit. Reached when
three of four points come within about 0.5 % of their extent of a line: with points some hundred
pixels apart that is a marking error, which would then decide the answer."""


class DegeneratePoints(UsageError):
    """The point pairs do not determine a homography: too few, on a line, or contradictory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HomographyFit:
    """A homography and how well it fits the points it was made from.

    Attributes:
        ground_from_pixel: float64[3, 3], homogeneous, its third coordinate > 0 at every point.
        residual_m: float64[n], distance on the ground between given and mapped point. Zero with
            four points whatever their error: measure a fifth to learn something.

    >>> fit = homography_from_points([[0, 0], [100, 0], [100, 100], [0, 100]],
    ...                              [[0, 0], [2, 0], [2, 2], [0, 2]])
    >>> matrix = fit.ground_from_pixel / fit.ground_from_pixel[2, 2]
    >>> bool(np.allclose(matrix, np.diag([0.02, 0.02, 1.0]))), fit.rms_residual_m < 1e-12
    (True, True)
    """

    ground_from_pixel: FloatArray
    residual_m: FloatArray

    @property
    def rms_residual_m(self) -> float:
        return float(np.sqrt(np.mean(self.residual_m**2)))


def homography_from_points(pixel: npt.ArrayLike, ground: npt.ArrayLike) -> HomographyFit:
    """The homography from image to ground by the normalised direct linear transform.

    Source: Hartley & Zisserman, "Multiple View Geometry", 2nd ed., algorithm 4.2; Hartley (1997),
    "In defense of the eight-point algorithm", for the normalisation. More than four points are
    fitted in least squares of the algebraic error; there is no search for outliers.

    Args:
        pixel: [n, 2], x and y in pixels, n >= 4.
        ground: [n, 2], x and y on the ground in metres, in the same order.

    Raises:
        DegeneratePoints: fewer than four pairs, three of four (or all but one) on a line, or
            pairs that no one camera could see, for example two of them swapped.

    The points should surround the place that matters: outside them errors grow fast.
    """
    pixels = _finite_points(pixel, "pixel")
    metres = _finite_points(ground, "ground")
    n = len(pixels)
    if n < MIN_POINTS or len(metres) != n:
        raise DegeneratePoints(
            expected=f"at least {MIN_POINTS} pairs, one ground point per pixel",
            got=f"{n} pixels and {len(metres)} ground points",
            where="homography_from_points",
            action="mark more points",
        )
    from_pixels, a = _normalised(pixels)
    from_metres, b = _normalised(metres)
    zero, one = np.zeros(n), np.ones(n)
    x, y, u, v = a[:, 0], a[:, 1], b[:, 0], b[:, 1]
    design = np.concatenate(
        [
            np.column_stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u]),
            np.column_stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v]),
            np.zeros((1, 9)),  # with four points the thin decomposition would lack the answer
        ]
    )
    _, singular, right = np.linalg.svd(design, full_matrices=False)
    solution = right[-1].reshape(3, 3)
    spread = np.linalg.svd(solution, compute_uv=False)
    if singular[7] < MIN_SPREAD * singular[0] or spread[2] < MIN_SPREAD * spread[0]:
        raise DegeneratePoints(
            expected="points that surround an area, no three of four on a line",
            got=f"points within {min(singular[7] / singular[0], spread[2] / spread[0]):.1e} of "
            "a line, relative to their extent",
            where="homography_from_points",
            action="mark points further apart, or more of them",
        )
    matrix = np.asarray(np.linalg.solve(from_metres, solution @ from_pixels), np.float64)
    homogeneous = np.column_stack([pixels, one]) @ matrix.T
    depth = homogeneous[:, 2]
    if not (depth > 0).all() and not (depth < 0).all():
        raise DegeneratePoints(
            expected="all points on one side of the horizon",
            got=f"{int(min((depth > 0).sum(), (depth < 0).sum()))} of {n} on the other side",
            where="homography_from_points",
            action="check that pixels and ground points are in the same order",
        )
    residual = np.linalg.norm(homogeneous[:, :2] / depth[:, None] - metres, axis=1)
    return HomographyFit(
        ground_from_pixel=matrix / np.linalg.norm(matrix) * np.sign(depth[0]),
        residual_m=np.asarray(residual, np.float64),
    )


def _normalised(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(similarity float64[3, 3], moved points): centroid at 0, mean distance √2 from it."""
    centre = points.mean(axis=0)
    distance = float(np.linalg.norm(points - centre, axis=1).mean())
    scale = np.sqrt(2.0) / distance if distance > 0 else 1.0
    similarity = np.array(
        [[scale, 0.0, -scale * centre[0]], [0.0, scale, -scale * centre[1]], [0.0, 0.0, 1.0]]
    )
    return similarity, (points - centre) * scale


def _finite_points(values: npt.ArrayLike, name: str) -> FloatArray:
    points = np.asarray(values, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise UsageError(
            expected=f"{name} [n, 2], finite",
            got=str(points.shape) if points.ndim != 2 else "NaN, inf or another width",
            where="homography_from_points",
            action="give x and y of each point",
        )
    return points
