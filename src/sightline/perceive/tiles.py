"""Web-Mercator tiles of detections: the greatest score of each tile within the last seconds.

A tile (z, x, y) is one of 2^z by 2^z squares of the Web-Mercator map (EPSG:3857), x eastwards from
the antimeridian, y southwards from 85.05112878° north: the scheme of OpenStreetMap and of the OGC
"WebMercatorQuad" (OGC 17-083r4, annex D). Here all detections are there at once. Of a stream the
tile is the key of a row (`tile` in its contract), and the stage `windows` takes the greatest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from numba import types

from sightline.errors import UsageError
from sightline.perceive.compiled import inner_loop, kernel
from sightline.records.map_tiles import (
    EPSILON,
    MAX_LATITUDE_DEG,
    NO_TILE,
    check_zoom,
    tile_corners,
)
from sightline.records.windows import FloatArray, IntArray

_ROWS_OF_TABLE = 1 << 14
_NEAR_BORDER = 1e-6

_F8 = types.Array(types.float64, 1, "C", readonly=True)
_I8_OUT = types.Array(types.int64, 1, "C")
_F8_OUT = types.Array(types.float64, 1, "C")
_NEVER = -math.inf


@inner_loop
def _row_exactly(lat_deg: float, tiles: int) -> int:
    sine = math.sin(math.radians(lat_deg))
    down = 0.5 - 0.25 * math.log((1.0 + sine) / (1.0 - sine)) / math.pi
    return min(max(math.floor((down + EPSILON) * tiles), 0), tiles - 1)


@inner_loop
def _slot(keys: IntArray, key: int) -> int:
    """Where a key is in the table, or the free place where it belongs."""
    mask = len(keys) - 1
    at = (key * 0x9E3779B97F4A7C1 >> 20) & mask  # the golden ratio spreads neighbours
    while keys[at] not in (key, NO_TILE):
        at = (at + 1) & mask
    return at


@kernel(_F8, _F8, _F8, _F8, _F8, types.float64, types.int64, _I8_OUT, _F8_OUT, _I8_OUT)
def _take_in(  # noqa: PLR0917 - numba takes no keyword-only arguments
    time_s: FloatArray,
    lon_deg: FloatArray,
    lat_deg: FloatArray,
    score: FloatArray,
    down_at: FloatArray,
    since_s: float,
    zoom: int,
    keys: IntArray,
    best: FloatArray,
    state: IntArray,
) -> None:
    """Take detections into a table of tiles until it is half full.

    Args:
        time_s, lon_deg, lat_deg, score: float64[n].
        down_at: float64[t + 1], place on the map, 0 at the top, by latitude from -L to L.
        since_s: only detections at this time or later.
        zoom: of the tiles.
        keys, best: the table, of a power of two places; -1 where free.
        state: detections taken so far, tiles in the table, in no tile, without time or score.
    """
    tiles = 1 << zoom
    steps = len(down_at) - 1
    per_degree = steps / (2.0 * MAX_LATITUDE_DEG)
    room = len(keys) // 2
    i = state[0]
    while i < len(time_s) and state[1] < room:
        at_s, value = time_s[i], score[i]
        if at_s < since_s:
            i += 1
            continue
        lon, lat = lon_deg[i], lat_deg[i]
        if math.isnan(at_s) or math.isnan(value):
            state[3] += 1
        elif not (abs(lat) <= MAX_LATITUDE_DEG and math.isfinite(lon)):
            state[2] += 1
        else:
            if abs(lon) > 180.0:
                lon = (lon + 180.0) % 360.0 - 180.0
            x = min(max(math.floor((lon / 360.0 + 0.5 + EPSILON) * tiles), 0), tiles - 1)
            # Between two entries of the table the place is linear to far below a tile; where it
            # comes near a border, and at zooms where a tile is not much wider, it is worked out.
            place = (lat + MAX_LATITUDE_DEG) * per_degree
            step = min(int(place), steps - 1)
            low, high = down_at[step], down_at[step + 1]
            row = (low + (place - step) * (high - low)) * tiles
            within = row - math.floor(row)
            if _NEAR_BORDER * tiles < within < 1.0 - _NEAR_BORDER * tiles:
                y = min(max(math.floor(row), 0), tiles - 1)
            else:
                y = _row_exactly(lat, tiles)
            key = (y << zoom) | x
            at = _slot(keys, key)
            if keys[at] == NO_TILE:
                keys[at] = key
                best[at] = value
                state[1] += 1
            elif value > best[at]:
                best[at] = value
        i += 1
    state[0] = i


@kernel(_I8_OUT, _F8_OUT, _I8_OUT, _F8_OUT)
def _move_over(
    keys: IntArray, best: FloatArray, wider_keys: IntArray, wider_best: FloatArray
) -> None:
    for i in range(len(keys)):
        if keys[i] != NO_TILE:
            at = _slot(wider_keys, keys[i])
            wider_keys[at] = keys[i]
            wider_best[at] = best[i]


def _down_table() -> FloatArray:
    lat = np.linspace(-MAX_LATITUDE_DEG, MAX_LATITUDE_DEG, _ROWS_OF_TABLE + 1)
    sine = np.sin(np.radians(lat))
    found: FloatArray = 0.5 - 0.25 * np.log((1.0 + sine) / (1.0 - sine)) / math.pi
    return found


# --- the greatest of each tile --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileMaxima:
    """The greatest score of each tile, in order of y, then x.

    Attributes:
        zoom: z of all of them.
        x, y: int64[t].
        score: float64[t].
        newest_s: time of the newest detection; NaN without any.
        off_map: detections within the window that lie in no tile: beyond 85.05112878° north or
            south, or without a finite position.
        unreadable: detections without a time or a score.
    """

    zoom: int
    x: IntArray
    y: IntArray
    score: FloatArray
    newest_s: float
    off_map: int
    unreadable: int

    def as_frame(self) -> pl.DataFrame:
        """Columns z, x, y, score, west, south, east, north (degrees)."""
        corners = tile_corners(self.x, self.y, zoom=self.zoom)
        sides = {name: corners[:, i] for i, name in enumerate(("west", "south", "east", "north"))}
        z = np.full(len(self.x), self.zoom)
        return pl.DataFrame({"z": z, "x": self.x, "y": self.y, "score": self.score, **sides})


def recent_tile_max(
    time_s: FloatArray,
    lon_deg: FloatArray,
    lat_deg: FloatArray,
    score: FloatArray,
    *,
    zoom: int,
    window_s: float,
) -> TileMaxima:
    """The greatest score of each tile among detections of the last seconds of the newest.

    Args:
        time_s: float64[n], in any order, from any common beginning.
        lon_deg, lat_deg, score: float64[n].
        zoom: 0 to ``MAX_ZOOM``.
        window_s: above 0, or 0 for the newest time alone. A detection counts if it is not older
            than the newest by more than this; one that is exactly as old counts.

    Raises:
        UsageError: a zoom or window out of its range, or arrays of different lengths.

    >>> found = recent_tile_max(np.array([0.0, 95.0, 100.0]), np.array([10.0, 10.0, 10.1]),
    ...                         np.array([50.0, 50.0, 50.0]), np.array([0.9, 0.5, 0.7]),
    ...                         zoom=5, window_s=60)
    >>> found.x.tolist(), found.y.tolist(), found.score.tolist()
    ([16], [10], [0.7])
    """
    check_zoom(zoom)
    _check_window(window_s)
    columns = [np.ascontiguousarray(a, np.float64) for a in (time_s, lon_deg, lat_deg, score)]
    if len({a.shape for a in columns}) > 1 or columns[0].ndim != 1:
        raise UsageError(
            expected="time, longitude, latitude and score of the same length",
            got=", ".join(str(list(a.shape)) for a in columns),
            where="recent_tile_max",
            action="give one value of each for every detection",
        )
    time_s, lon_deg, lat_deg, score = columns
    newest_s = float(np.fmax.reduce(time_s, initial=_NEVER))
    keys, best = _table(1 << 10)
    state = np.zeros(4, np.int64)
    down_at = _down_table()
    while True:
        _take_in(
            time_s, lon_deg, lat_deg, score, down_at, newest_s - window_s, zoom, keys, best, state
        )
        if state[0] == len(time_s):
            break
        wider = _table(len(keys) * 4)
        _move_over(keys, best, *wider)
        keys, best = wider
    at = np.flatnonzero(keys != NO_TILE)
    at = at[np.argsort(keys[at])]
    return TileMaxima(
        zoom=zoom,
        x=keys[at] & ((1 << zoom) - 1),
        y=keys[at] >> zoom,
        score=best[at],
        newest_s=newest_s if math.isfinite(newest_s) else math.nan,
        off_map=int(state[2]),
        unreadable=int(state[3]),
    )


def aggregate_recent_tile_max(
    detections: Any, z: int, w: float
) -> dict[tuple[int, int, int], float]:
    """The greatest score by tile (z, x, y) among detections of the last ``w`` seconds.

    The plain door to :func:`recent_tile_max`, with the same answers.

    Args:
        detections: rows (time in s, longitude, latitude in degrees, score): an array [n, 4], a list
            of tuples, or a Polars or pandas table with columns time, lon, lat and score.
        z: zoom.
        w: seconds; a detection that is exactly so much older than the newest counts.

    Raises:
        UsageError: something else, or a zoom or window out of its range.

    >>> rows = [(0, 10.0, 50.0, 0.9), (95, 10.0, 50.0, 0.5), (100, 10.1, 50.0, 0.7)]
    >>> aggregate_recent_tile_max(rows, 5, 60)
    {(5, 16, 10): 0.7}
    """
    found = recent_tile_max(*_columns(detections), zoom=z, window_s=w)
    places = zip(found.x.tolist(), found.y.tolist(), strict=True)
    return {(z, x, y): s for (x, y), s in zip(places, found.score.tolist(), strict=True)}


def _table(places: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    return np.full(places, NO_TILE, np.int64), np.empty(places)


def _columns(detections: Any) -> Iterable[FloatArray]:
    names = ("time", "lon", "lat", "score")
    if hasattr(detections, "columns"):
        missing = [name for name in names if name not in detections.columns]
        if missing:
            raise UsageError(
                expected=f"columns {', '.join(names)}",
                got=", ".join(map(str, detections.columns)),
                where="detections",
                action=f"name {', '.join(missing)}",
            )
        return [np.asarray(detections[name], np.float64) for name in names]
    rows = np.asarray(
        detections if isinstance(detections, Sequence | np.ndarray) else list(detections),
        np.float64,
    )
    if not rows.size:
        return [np.empty(0)] * 4
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise UsageError(
            expected="rows of time, lon, lat, score: an array [n, 4]",
            got=f"an array {list(rows.shape)}",
            where="detections",
            action="give four numbers for each detection",
        )
    return [np.ascontiguousarray(column) for column in rows.T]


def _check_window(window_s: float) -> None:
    if not window_s >= 0:
        raise UsageError(
            expected="a window of 0 s or more",
            got=str(window_s),
            where="tiles",
            action="give the seconds before the newest detection that count",
        )
