"""``sightline tiles``: the greatest score of each map tile within the last seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import polars as pl
import typer

from sightline.cli.console import Terminal, print_json
from sightline.cli.output_files import check_outputs
from sightline.errors import SourceError, StorageError, UsageError
from sightline.evidence.series_file import ReadingOptions, read_columns
from sightline.perceive.tiles import MAX_LATITUDE_DEG, MAX_ZOOM, TileMaxima, recent_tile_max
from sightline.records.signals import NS_PER_S
from sightline.sense.written_numbers import Decimal

_FORMS = (".geojson", ".csv", ".parquet", ".png")
_MOST_PICTURE_PX = 4096
_SHOWN = 10


def tiles(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Detections: .csv, .tsv, .txt, .parquet or .npz."),
    ],
    zoom: Annotated[int, typer.Option(min=0, max=MAX_ZOOM, help="z of the tiles.")],
    window_s: Annotated[
        float,
        typer.Option("--window", metavar="SECONDS", help="Before the newest detection."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help=f"File to write: {', '.join(_FORMS)}."),
    ] = None,
    time: Annotated[str, typer.Option(metavar="COL", help="Column of times.")] = "time",
    lon: Annotated[str, typer.Option(metavar="COL", help="Longitudes in degrees.")] = "lon",
    lat: Annotated[str, typer.Option(metavar="COL", help="Latitudes in degrees.")] = "lat",
    score: Annotated[str, typer.Option(metavar="COL", help="Column of scores.")] = "score",
    time_format: Annotated[
        str | None, typer.Option(metavar="FORM", help="How times are written; as for `detect`.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of times that state none.")
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="SIGN", help="Decimal sign of numbers: . or ,")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Greatest score of each Web-Mercator tile within the last seconds of the newest detection.

    Beyond 85.05112878 degrees north or south there are no tiles: such detections are counted.

        sightline tiles detections.csv --zoom 8 --window 3600 -o tiles.geojson
    """
    if out is not None and out.suffix.lower() not in _FORMS:
        raise UsageError(
            expected=f"a file ending in {', '.join(_FORMS)}",
            got=out.name,
            where="--out",
            action="name it by the form that you want",
        )
    check_outputs({"--out": out}, inputs=[path])
    sign: Decimal | None = decimal  # type: ignore[assignment] # ReadingOptions checks it
    options = ReadingOptions(time_format=time_format, zone=zone, decimal=sign)
    read = read_columns(path, time=time, values=[lon, lat, score], options=options)
    first_ns = int(read.time_ns.min())
    found = recent_tile_max(
        (read.time_ns - first_ns) / NS_PER_S,
        read.values[lon],
        read.values[lat],
        read.values[score],
        zoom=zoom,
        window_s=window_s,
    )
    if not len(found.x):
        raise SourceError(
            expected="a detection on the map within the window",
            got=f"{found.off_map} that lie beyond {MAX_LATITUDE_DEG} degrees or have no position, "
            f"{found.unreadable} without a score",
            where=str(path),
            action="see --lon, --lat and --score: which columns they name, and whether degrees",
        )
    if out is not None:
        _write(out, found)
    said = {
        "detections": len(read.time_ns),
        "tiles": len(found.x),
        "zoom": zoom,
        "newest_ns": int(read.time_ns.max()),
        "off_map": found.off_map,
        "without_score": found.unreadable,
        "unread": [str(one) for one in read.unread],
    }
    if as_json:
        print_json(said)
        return
    console = Terminal()
    console.print(f"detections {len(read.time_ns)}, tiles {len(found.x)} at zoom {zoom}")
    for one in read.unread:
        console.print(f"not read   {one}")
    for count, words in ((found.off_map, "in no tile"), (found.unreadable, "without a score")):
        if count:
            console.print(f"left out   {count} within the window {words}")
    for i in np.argsort(-found.score, kind="stable")[:_SHOWN].tolist():
        console.print(f"  {zoom}/{found.x[i]}/{found.y[i]}  {found.score[i]:g}")
    if out is not None:
        console.print(f"wrote      {out}")


def _write(out: Path, found: TileMaxima) -> None:
    try:
        match out.suffix.lower():
            case ".geojson":
                out.write_text(json.dumps(_geojson(found.as_frame()), allow_nan=False) + "\n")
            case ".csv":
                found.as_frame().write_csv(out)
            case ".parquet":
                found.as_frame().write_parquet(out)
            case _:
                out.write_bytes(_picture(found))
    except OSError as error:
        raise StorageError(
            expected="a file that can be written",
            got=error.strerror or str(error),
            where=str(out),
            action="see whether its folder is there and the disk has room",
        ) from error


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


def _picture(found: TileMaxima) -> bytes:
    """PNG, grey by score, a pixel or more for each tile of the part of the map that has any."""
    left, top = int(found.x.min()), int(found.y.min())
    wide, high = int(found.x.max()) - left + 1, int(found.y.max()) - top + 1
    if max(wide, high) > _MOST_PICTURE_PX:
        raise UsageError(
            expected=f"tiles within {_MOST_PICTURE_PX} of each other, for a picture",
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
