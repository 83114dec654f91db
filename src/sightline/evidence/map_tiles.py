"""Tiles of a map as files: polygons, tables and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from sightline.errors import UsageError, writing
from sightline.limits import DEFAULT_LIMITS, Limits
from sightline.perceive.tiles import TileMaxima

TILE_FORMS = (".geojson", ".csv", ".parquet", ".png")
"""Endings of the files that :func:`write_tiles` writes."""


def write_tiles(out: Path, found: TileMaxima, *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Write tiles in the form that the name of ``out`` ends in.

    Raises:
        StorageError: the file cannot be written.
        UsageError: a picture of tiles that lie further apart than ``tile_picture_px``.
    """
    with writing(out):
        match out.suffix.lower():
            case ".geojson":
                out.write_text(json.dumps(_geojson(found.as_frame()), allow_nan=False) + "\n")
            case ".csv":
                found.as_frame().write_csv(out)
            case ".parquet":
                found.as_frame().write_parquet(out)
            case _:
                out.write_bytes(_picture(found, limits))


def _geojson(frame: pl.DataFrame) -> dict[str, object]:
    """RFC 7946: a polygon for each tile, its corners against the clock."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": f"{z}/{x}/{y}",
                "properties": {"z": z, "x": x, "y": y, "score": score},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [[west, south], [east, south], [east, north], [west, north], [west, south]]
                    ],
                },
            }
            for z, x, y, score, west, south, east, north in frame.iter_rows()
        ],
    }


def _picture(found: TileMaxima, limits: Limits) -> bytes:
    """PNG, grey by score, a pixel or more for each tile of the part of the map that has any."""
    left, top = int(found.x.min()), int(found.y.min())
    wide, high = int(found.x.max()) - left + 1, int(found.y.max()) - top + 1
    if max(wide, high) > limits.tile_picture_px:
        raise UsageError(
            expected=f"tiles within {limits.tile_picture_px} of each other, for a picture",
            got=f"{wide} by {high}",
            where="--out",
            action="give a smaller --zoom, or write .geojson",
        )
    low, top_score = float(found.score.min()), float(found.score.max())
    share = (found.score - low) / (top_score - low) if top_score > low else found.score * 0 + 1
    picture = np.zeros((high, wide), np.uint8)
    picture[found.y - top, found.x - left] = np.round(55 + 200 * share)
    times = max(1, 512 // max(wide, high))
    _, encoded = cv2.imencode(".png", np.kron(picture, np.ones((times, times), np.uint8)))
    return encoded.tobytes()
