"""Whom a zone concerns, and how likely they are in it, given the uncertainty of the position."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from sightline.assess.site.gaussian import probability_above, std_along
from sightline.assess.site.zones.polygon import Polygon
from sightline.records import Tracks
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray


def of_classes(tracks: Tracks, classes: Collection[str]) -> BoolArray:
    """bool[n]: which tracks are of one of the named classes."""
    # A table of the few classes: looking them up in sets of ids costs ten times as much.
    is_wanted = np.array([name in classes for name in tracks.class_names], np.bool_)
    found: BoolArray = is_wanted[tracks.class_id]
    return found


def inside_probability(
    polygon: Polygon, points: FloatArray, covariance: FloatArray | None = None
) -> FloatArray:
    """float64[n], 0 to 1: probability of being inside; NaN for NaN points.

    The approximation: near the point the border is a straight line, so the probability is
    Φ(d / σ), with d the signed distance to the border and σ the standard deviation in the
    direction of its nearest point. Exact for a half plane; too high in a zone that is narrow
    against σ (of the two sides it sees one) and inside a corner, too low just outside a corner
    that points inwards. With σ up to a quarter of the zone's width it is within 0.03 between
    straight edges and within 0.25 at a right-angled corner.

    Args:
        polygon: the zone.
        points: float64[n, 2], in the unit of the polygon.
        covariance: float64[n, 2, 2], in that unit squared. None, and NaN in a row: the position
            counts as exact.

    >>> square = Polygon.of([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> inside_probability(square, np.array([[0.0, 2.0]]), 0.04 * np.eye(2)[None]).tolist()
    [0.5]
    """
    return probability_within(*polygon.nearest_border(points), covariance)


def probability_within(
    distance: FloatArray, direction: FloatArray, covariance: FloatArray | None = None
) -> FloatArray:
    """The same from what ``Polygon.nearest_border`` says of the points."""
    spread = np.zeros(len(distance)) if covariance is None else std_along(covariance, direction)
    found = probability_above(distance, spread, 0.0)
    return np.where(np.isnan(distance), np.nan, found)
