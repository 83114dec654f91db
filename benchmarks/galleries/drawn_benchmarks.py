"""Hits, misses, false alarms on recorded benchmarks, as ``sightline lab evaluate`` scores them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.galleries.benchmark_series import (
    nab_series,
    nasa_series,
    opssat_series,
    skab_series,
)
from benchmarks.galleries.gallery import Gallery, GallerySettings, write_gallery
from benchmarks.galleries.judged_series import Finding
from benchmarks.galleries.picture import require_drawing
from benchmarks.published import (
    evaluate_nab,
    evaluate_nasa,
    evaluate_opssat,
    evaluate_skab,
)

_NOTES = {
    "nasa": [
        "Events and labels are those that `sightline lab evaluate nasa` scores.",
        "Delays are rows of `test`, from the beginning of a label. The category is the first "
        "letter of the channel, its type.",
        "The threshold drawn is what an event has to reach: that of the rule, or its share of the "
        "greatest score of the channel.",
    ],
    "nab": [
        "Scores and windows are those of `sightline lab evaluate nab`, at the threshold of its "
        "standard profile. An event is a run of rows at or above it.",
        "Windows begin before the anomaly that they are around, and so do delays.",
    ],
    "skab": [
        "Alarms and labels are those of `sightline lab evaluate skab`. The benchmark counts rows; "
        "counted here are runs of rows: one alarm over a whole run is one hit, whatever its F1.",
    ],
    "opssat": [
        "Scores and alarms are those without labels of `sightline lab evaluate opssat`. A row is a "
        "segment; colours are its features, in deviations from the middle of the channel.",
    ],
}
_RULE = (
    "A label is a hit when a detected event shares a row with it, else a miss; an event that "
    "shares a row with no label is a false alarm."
)


def draw_benchmark(name: str, folder: Path, out: Path, *, only: str, limit: int) -> Gallery:
    """Judge a benchmark and write a picture for each of its series, and a page that leads to them.

    Args:
        name: nasa, nab, skab or opssat.
        folder: of the benchmark.
        out: folder for the pictures.
        only: series that have at least one of hits, misses or false-alarms; or all.
        limit: most pictures; the worst are drawn first.

    Raises:
        UsageError: the extra ``report`` is not installed.
        SourceError: the benchmark cannot be read.
    """
    require_drawing()  # before minutes of work
    settings = GallerySettings(only=None if only == "all" else Finding(only), limit=limit)
    if name == "nasa":
        title, series = "NASA telemetry", nasa_series(folder, evaluate_nasa(folder))
    elif name == "nab":
        title, series = "Numenta Anomaly Benchmark", nab_series(evaluate_nab(folder))
    elif name == "skab":
        title, series = "Skoltech Anomaly Benchmark", skab_series(evaluate_skab(folder))
    else:
        title, series = "OPS-SAT-AD", opssat_series(folder, evaluate_opssat(folder))
    notes = [*_NOTES[name], _RULE]
    return write_gallery(out, series, title=title, notes=notes, settings=settings)
