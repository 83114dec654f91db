"""``sightline tiles``: the greatest score of each map tile within the last seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sightline.cli.console import Terminal, print_json
from sightline.cli.output_files import check_outputs
from sightline.errors import SourceError, UsageError
from sightline.evidence.map_tiles import TILE_FORMS, write_tiles
from sightline.evidence.series_file import ReadingOptions, read_columns
from sightline.perceive.tiles import recent_tile_max
from sightline.records.map_tiles import MAX_LATITUDE_DEG, MAX_ZOOM
from sightline.records.signals import NS_PER_S
from sightline.sense.written_numbers import Decimal

_SHOWN = 10


def tiles(
    path: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Detections: .csv, .tsv, .txt, .parquet or .npz."),
    ],
    zoom: Annotated[int, typer.Option(min=0, max=MAX_ZOOM, help="Zoom level of the tiles.")],
    window_s: Annotated[
        float,
        typer.Option(
            "--window", metavar="SECONDS", help="Seconds before the newest detection that count."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help=f"File to write: {', '.join(TILE_FORMS)}."),
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
    if out is not None and out.suffix.lower() not in TILE_FORMS:
        raise UsageError(
            expected=f"a file ending in {', '.join(TILE_FORMS)}",
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
        write_tiles(out, found)
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
