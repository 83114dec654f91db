"""Where a position lies on the Web-Mercator map: tiles (z, x, y), and their corners.

A tile is one of 2^z by 2^z squares of the map (EPSG:3857), x eastwards from the antimeridian, y
southwards from 85.05112878° north: the scheme of OpenStreetMap and of the OGC "WebMercatorQuad"
(OGC 17-083r4, annex D).
"""

from __future__ import annotations

import math

import numpy as np

from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.windows import FloatArray, IntArray

MAX_LATITUDE_DEG = 85.05112878
"""Where the map is as high as it is wide. What lies nearer to a pole is in no tile, and counted."""
MAX_ZOOM = DEFAULT_LIMITS.tile_zoom
"""The finest tiles."""
EPSILON = 1e-14
"""Positions on the border of two tiles, to rounding, belong to the eastern and southern one; so
does mercantile, the implementation that ours is compared with."""
NO_TILE = -1


def tile_of(lon_deg: FloatArray, lat_deg: FloatArray, *, zoom: int) -> tuple[IntArray, IntArray]:
    """Tiles of positions, x and y: the plain form, which is the specification.

    Args:
        lon_deg: float64[n], of any turn: 190 is -170. Exactly 180 is the eastern border.
        lat_deg: float64[n].
        zoom: 0 to ``MAX_ZOOM``.

    Returns:
        int64[n], int64[n]; -1 for positions that lie in no tile: a latitude beyond
        ``MAX_LATITUDE_DEG``, or something that is not finite.

    >>> x, y = tile_of(np.array([-105.0, 180.0, 190.0]), np.array([40.0, 0.0, 0.0]), zoom=7)
    >>> x.tolist(), y.tolist()
    ([26, 127, 3], [48, 64, 64])
    """
    check_zoom(zoom)
    with np.errstate(invalid="ignore", divide="ignore"):
        turned = np.where(np.abs(lon_deg) <= 180.0, lon_deg, (lon_deg + 180.0) % 360.0 - 180.0)
        sine = np.sin(np.radians(lat_deg))
        across = turned / 360.0 + 0.5
        down = 0.5 - 0.25 * np.log((1.0 + sine) / (1.0 - sine)) / math.pi
        is_on_map = np.isfinite(turned) & (np.abs(lat_deg) <= MAX_LATITUDE_DEG)
        tiles = 1 << zoom
        x = np.clip(np.floor((across + EPSILON) * tiles), 0, tiles - 1)
        y = np.clip(np.floor((down + EPSILON) * tiles), 0, tiles - 1)
    return (
        np.where(is_on_map, x, NO_TILE).astype(np.int64),
        np.where(is_on_map, y, NO_TILE).astype(np.int64),
    )


def tile_corners(x: IntArray, y: IntArray, *, zoom: int) -> FloatArray:
    """float64[n, 4]: west, south, east, north of tiles, in degrees.

    >>> tile_corners(np.array([0]), np.array([0]), zoom=1).round(4).tolist()
    [[-180.0, 0.0, 0.0, 85.0511]]
    """
    tiles = float(1 << zoom)
    west, east = x / tiles * 360.0 - 180.0, (x + 1) / tiles * 360.0 - 180.0
    north, south = (np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * r / tiles)))) for r in (y, y + 1))
    return np.stack([west, south, east, north], axis=1)


def check_zoom(zoom: int) -> None:
    """Raise UsageError unless there are tiles of this zoom."""
    if not 0 <= zoom <= MAX_ZOOM:
        raise UsageError(
            expected=f"a zoom from 0 to {MAX_ZOOM}",
            got=str(zoom),
            where="tiles",
            action="7 is about 300 km at the equator, 14 about 2.4 km",
        )
