"""Simple polygons: who is inside, how far it is to the border, and how likely inside is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from sightline.assess.site.gaussian import probability_above, std_along
from sightline.errors import UsageError
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

MAX_VERTICES = 1000
"""Vertices of one polygon; more is a UsageError. Checking costs the square of it."""
MAX_COORDINATE = 1e9
"""Furthest a vertex may be from the origin, in m or px; more is a UsageError."""
_ON_BORDER = 1e-9  # of the polygon's extent: what rounding may move a point that lies on it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Polygon:
    """A simple polygon: its edges meet at its vertices and nowhere else.

    The border belongs to the polygon: a point on it is inside. Two polygons that share an edge
    both hold the points of that edge, because for safety it is better to be in two zones than in
    none. A point that is NaN is in no polygon and at no distance.

    Attributes:
        vertices: float64[v, 2], x and y in ``unit``, in either orientation, v >= 3; the first is
            not repeated at the end (if it is, the repetition is taken off).
        unit: ``"m"`` on the ground, ``"px"`` in the image (as ``Detections``).

    Raises:
        UsageError: fewer than 3 vertices or more than MAX_VERTICES, a coordinate that is not
            finite, a vertex repeated in a row, or two edges that cross or touch (they are named).

    >>> square = Polygon.of([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> square.contains(np.array([[1.0, 2.0], [4.0, 2.0], [5.0, 2.0]])).tolist()
    [True, True, False]
    >>> square.signed_distance(np.array([[1.0, 2.0], [4.0, 2.0], [5.0, 2.0]])).tolist()
    [1.0, 0.0, -1.0]
    """

    vertices: FloatArray
    unit: Literal["m", "px"] = "m"
    _next: FloatArray = field(init=False, repr=False)
    """float64[v, 2]: the vertex after each; asked for with every frame."""

    def __post_init__(self) -> None:
        vertices = np.array(self.vertices, np.float64)
        if vertices.ndim != 2 or vertices.shape[-1] != 2 or self.unit not in ("m", "px"):
            raise _refused("float64[v, 2] in m or px", f"{list(vertices.shape)} in {self.unit}")
        if len(vertices) > 1 and np.array_equal(vertices[0], vertices[-1]):
            vertices = vertices[:-1]
        if not 3 <= len(vertices) <= MAX_VERTICES:
            raise _refused(f"3 to {MAX_VERTICES} vertices", str(len(vertices)))
        is_usable = (np.abs(vertices) <= MAX_COORDINATE).all(axis=1)  # False for NaN
        if not is_usable.all():
            row = int(np.flatnonzero(~is_usable)[0])
            raise _refused(
                f"finite coordinates, at most {MAX_COORDINATE:g}",
                f"{vertices[row].tolist()} at vertex {row}",
            )
        _check_is_simple(vertices)
        following = np.roll(vertices, -1, axis=0)
        for name, value in (("vertices", vertices), ("_next", following)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, vertices: npt.ArrayLike, unit: Literal["m", "px"] = "m") -> Polygon:
        """From anything array-like of shape [v, 2]."""
        return cls(vertices=np.asarray(vertices, np.float64), unit=unit)

    def contains(self, points: FloatArray) -> BoolArray:
        """bool[n] of float64[n, 2]: inside or on the border; False for NaN."""
        found: BoolArray = self.signed_distance(points) >= 0
        return found

    def signed_distance(self, points: FloatArray) -> FloatArray:
        """float64[n] of float64[n, 2], in ``unit``: > 0 inside, 0 on the border, < 0 outside."""
        return self.nearest_border(points)[0]

    def nearest_border(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The signed distance, float64[n], and the direction it is measured in, float64[n, 2].

        The direction is a unit vector along the line to the nearest point of the border, of
        either sign. NaN points give NaN.
        """
        start = self.vertices
        along = self._next - start
        from_start = points[:, None, :] - start[None, :, :]
        share = np.einsum("nvc,vc->nv", from_start, along) / np.einsum("vc,vc->v", along, along)
        to_border = np.clip(share, 0.0, 1.0)[:, :, None] * along[None, :, :] - from_start
        square = np.einsum("nvc,nvc->nv", to_border, to_border)
        edge = np.argmin(square, axis=1)
        row = np.arange(len(points))
        distance = np.sqrt(square[row, edge])

        extent = float(np.ptp(start, axis=0).max())
        is_on_border = distance <= _ON_BORDER * extent
        normal = np.stack([-along[edge, 1], along[edge, 0]], axis=1)
        direction = np.where(is_on_border[:, None], normal, to_border[row, edge])
        with np.errstate(invalid="ignore", divide="ignore"):
            direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        sign = np.where(self._is_inside_by_parity(points), 1.0, -1.0)
        return np.where(is_on_border, 0.0, sign * distance), direction

    def meets_border(self, start: FloatArray, end: FloatArray) -> BoolArray:
        """bool[n] of float64[n, 2] each: whether the way from start to end meets the border.

        Straight ways; False where an end is NaN, and where nothing is moved.
        """
        a, b = start[:, None, :], end[:, None, :]
        c, d = self.vertices[None, :, :], self._next[None, :, :]
        with np.errstate(invalid="ignore"):
            straddles_edge = _side(c, d, a) * _side(c, d, b) <= 0
            straddles_way = _side(a, b, c) * _side(a, b, d) <= 0
        found: BoolArray = np.any(straddles_edge & straddles_way & (a != b).any(axis=2), axis=1)
        return found & np.isfinite(start).all(axis=1) & np.isfinite(end).all(axis=1)

    def _is_inside_by_parity(self, points: FloatArray) -> BoolArray:
        """Even-odd rule along a ray to +x; on the border the answer may be either."""
        x, y = points[:, :1], points[:, 1:]
        x0, y0 = self.vertices.T
        x1, y1 = self._next.T
        straddles = (y0 > y) != (y1 > y)
        with np.errstate(invalid="ignore", divide="ignore"):
            is_right = x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
        found: BoolArray = np.count_nonzero(straddles & is_right, axis=1) % 2 == 1
        return found


def _side(a: FloatArray, b: FloatArray, point: FloatArray) -> FloatArray:
    """Sign of the side of the line from a to b on which a point lies, over the last axis."""
    along, to = b - a, point - a
    found: FloatArray = np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
    return found


def _check_is_simple(vertices: FloatArray) -> None:
    v = len(vertices)
    along = np.roll(vertices, -1, axis=0) - vertices
    repeated = np.flatnonzero((along == 0).all(axis=1))
    if len(repeated):
        at = int(repeated[0])
        raise _refused("different vertices in a row", f"vertex {at} = vertex {(at + 1) % v}")
    first, second = np.triu_indices(v, k=1)
    is_next = second == first + 1
    is_last = (first == 0) & (second == v - 1)
    adjacent = is_next | is_last
    # Neighbours share a vertex; they touch elsewhere only if one runs back along the other.
    turn = _cross(along[first], along[second])
    runs_back = (turn == 0) & (np.einsum("ec,ec->e", along[first], along[second]) < 0)
    meets = np.where(adjacent, runs_back, _do_segments_meet(vertices, first, second))
    if meets.any():
        at = int(np.flatnonzero(meets)[0])
        edges = [int(first[at]), int(second[at])]
        named = " and ".join(
            f"edge {e} ({vertices[e].tolist()} to {vertices[(e + 1) % v].tolist()})" for e in edges
        )
        raise _refused("edges that meet only at their common vertices", f"{named} meet")


def _do_segments_meet(
    vertices: FloatArray, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> BoolArray:
    """bool[e]: whether two edges have a point in common (orientation test)."""
    v = len(vertices)
    a, b = vertices[first], vertices[(first + 1) % v]
    c, d = vertices[second], vertices[(second + 1) % v]
    side_c, side_d = np.sign(_cross(b - a, c - a)), np.sign(_cross(b - a, d - a))
    side_a, side_b = np.sign(_cross(d - c, a - c)), np.sign(_cross(d - c, b - c))
    straddle = (side_c * side_d <= 0) & (side_a * side_b <= 0)
    # On one line all four sides are 0: then the boxes around the edges decide.
    boxes = np.all(
        (np.minimum(a, b) <= np.maximum(c, d)) & (np.minimum(c, d) <= np.maximum(a, b)), axis=1
    )
    found: BoolArray = straddle & boxes
    return found


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    found: FloatArray = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return found


def _refused(expected: str, got: str) -> UsageError:
    return UsageError(
        expected=expected, got=got, where="polygon", action="mend the vertices of the zone"
    )


def probability_within(
    distance: FloatArray, direction: FloatArray, covariance: FloatArray | None = None
) -> FloatArray:
    """float64[n], 0 to 1: probability of being inside a polygon; NaN for NaN points.

    The approximation: near the point the border is a straight line, so the probability is
    Φ(d / σ), with d the signed distance to the border and σ the standard deviation in the
    direction of its nearest point. Exact for a half plane; too high in a zone that is narrow
    against σ (of the two sides it sees one) and inside a corner, too low just outside a corner
    that points inwards. With σ up to a quarter of the zone's width it is within 0.03 between
    straight edges and within 0.25 at a right-angled corner.

    Args:
        distance: float64[n], as ``Polygon.nearest_border`` says of the points.
        direction: float64[n, 2], likewise.
        covariance: float64[n, 2, 2], in the unit of the polygon squared. None, and NaN in a row:
            the position counts as exact.

    >>> square = Polygon.of([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> border = square.nearest_border(np.array([[0.0, 2.0]]))
    >>> probability_within(*border, 0.04 * np.eye(2)[None]).tolist()
    [0.5]
    """
    spread = np.zeros(len(distance)) if covariance is None else std_along(covariance, direction)
    found = probability_above(distance, spread, 0.0)
    return np.where(np.isnan(distance), np.nan, found)
