"""``sightline draw``: pictures of hits, misses and false alarms on recorded benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sightline.cli.console import print_json
from sightline.evidence.anomaly_benchmarks import (
    evaluate_nab,
    evaluate_nasa,
    evaluate_opssat,
    evaluate_skab,
)
from sightline.evidence.detection_gallery import (
    MAX_PICTURES,
    Finding,
    GallerySettings,
    JudgedSeries,
    nab_series,
    nasa_series,
    opssat_series,
    require_drawing,
    skab_series,
    write_gallery,
)

app = typer.Typer(
    help="Draw hits, misses and false alarms, and a page that leads to them.",
    no_args_is_help=True,
)


class _Only(StrEnum):
    HITS = "hits"
    MISSES = "misses"
    FALSE_ALARMS = "false-alarms"
    ALL = "all"


_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the benchmark.")]
_Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the pictures.")]
_OnlyOption = Annotated[
    _Only, typer.Option("--only", help="Draw series that have at least one of these.")
]
_Limit = Annotated[
    int, typer.Option(min=0, max=MAX_PICTURES, help="Most pictures; the worst are drawn first.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

_RULE = (
    "A label is a hit when a detected event shares a row with it, else a miss; an event that "
    "shares a row with no label is a false alarm."
)


@app.command()
def nasa(
    folder: _Folder,
    out: _Out,
    only: _OnlyOption = _Only.ALL,
    limit: _Limit = 60,
    as_json: _AsJson = False,
) -> None:
    """NASA SMAP or MSL, as ``sightline evaluate nasa`` sees it: a picture for each channel."""
    settings = _settings(only, limit)
    series = nasa_series(folder, evaluate_nasa(folder))
    notes = [
        "Events and labels are those that `sightline evaluate nasa` scores.",
        "Delays are rows of `test`, from the beginning of a label. The category is the first "
        "letter of the channel, its type.",
        "The threshold drawn is what an event has to reach: that of the rule, or its share of the "
        "greatest score of the channel.",
    ]
    _write(out, series, "NASA telemetry", notes, settings, as_json=as_json)


@app.command()
def nab(
    folder: _Folder,
    out: _Out,
    only: _OnlyOption = _Only.ALL,
    limit: _Limit = 60,
    as_json: _AsJson = False,
) -> None:
    """Numenta's benchmark, as ``sightline evaluate nab`` sees it: a picture for each file."""
    settings = _settings(only, limit)
    series = nab_series(evaluate_nab(folder))
    notes = [
        "Scores and windows are those of `sightline evaluate nab`, at the threshold of its "
        "standard profile. An event is a run of rows at or above it.",
        "Windows begin before the anomaly that they are around, and so do delays.",
    ]
    _write(out, series, "Numenta Anomaly Benchmark", notes, settings, as_json=as_json)


@app.command()
def skab(
    folder: _Folder,
    out: _Out,
    only: _OnlyOption = _Only.ALL,
    limit: _Limit = 60,
    as_json: _AsJson = False,
) -> None:
    """Skoltech's benchmark, as ``sightline evaluate skab`` sees it: a picture for each run."""
    settings = _settings(only, limit)
    series = skab_series(evaluate_skab(folder))
    notes = [
        "Alarms and labels are those of `sightline evaluate skab`. The benchmark counts rows; "
        "counted here are runs of rows: one alarm over a whole run is one hit, whatever its F1.",
    ]
    _write(out, series, "Skoltech Anomaly Benchmark", notes, settings, as_json=as_json)


@app.command()
def opssat(
    folder: _Folder,
    out: _Out,
    only: _OnlyOption = _Only.ALL,
    limit: _Limit = 60,
    as_json: _AsJson = False,
) -> None:
    """ESA's OPS-SAT-AD, as ``sightline evaluate opssat`` sees it: a picture for each channel."""
    settings = _settings(only, limit)
    series = opssat_series(folder, evaluate_opssat(folder))
    notes = [
        "Scores and alarms are those without labels of `sightline evaluate opssat`. A row is a "
        "segment; colours are its features, in deviations from the middle of the channel.",
    ]
    _write(out, series, "OPS-SAT-AD", notes, settings, as_json=as_json)


def _settings(only: _Only, limit: int) -> GallerySettings:
    require_drawing()  # before minutes of work
    return GallerySettings(only=None if only is _Only.ALL else Finding(only.value), limit=limit)


def _write(
    out: Path,
    series: Sequence[JudgedSeries],
    title: str,
    notes: Sequence[str],
    settings: GallerySettings,
    *,
    as_json: bool,
) -> None:
    gallery = write_gallery(out, series, title=title, notes=[*notes, _RULE], settings=settings)
    if as_json:
        print_json(gallery.as_mapping())
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{gallery.series} series, {gallery.labels} labels: {gallery.hits} hits, "
        f"{gallery.misses} misses; {gallery.false_alarms} false alarms",
        markup=False,
    )
    console.print(f"{len(gallery.pictures)} pictures: {gallery.index}", markup=False)
    if gallery.left_out:
        console.print(f"note: {gallery.left_out} more are beyond --limit", markup=False)
