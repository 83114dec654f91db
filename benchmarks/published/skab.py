"""Skoltech's anomaly benchmark: a water pump, eight sensors, a run a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.published.row_scores import RowScore, score_skab
from benchmarks.published.scored_series import joint_scores, series_scores
from sightline.errors import SourceError
from sightline.perceive.normal import NormalSettings
from sightline.records.detections import BoolArray
from sightline.records.windows import FloatArray

TRAINING_ROWS = 400
"""Of each run, by the benchmark's protocol."""
THRESHOLD = 4.0
"""As for the events of every other series."""
SHOWN_THRESHOLDS = (2.0, 3.0, 4.0, 6.0, 10.0)
_NOT_SENSORS = ("datetime", "anomaly", "changepoint")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkabRun:
    """One run: its rows as they stand, score and alarm of each (0 in the training rows)."""

    rows: pl.DataFrame
    score: FloatArray
    alarm: BoolArray
    label: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SkabResult:
    """What was found.

    Attributes:
        runs: by path within the folder.
        score: of all rows after the training rows.
        f1_at: the same by threshold.
        f1_of_all: what calling every row anomalous would score: the floor of F1 on this data.
    """

    runs: Mapping[str, SkabRun]
    score: RowScore
    f1_at: Mapping[float, float]
    f1_of_all: float

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "runs": len(self.runs),
            "tested_rows": sum(len(r.label) - TRAINING_ROWS for r in self.runs.values()),
            "f1": round(self.score.f1, 4),
            "false_alarm_rate": round(self.score.false_alarm_rate, 4),
            "missing_alarm_rate": round(self.score.missing_alarm_rate, 4),
            "f1_at_threshold": {f"{t:g}": round(f, 4) for t, f in self.f1_at.items()},
            "f1_if_every_row_were_called_anomalous": round(self.f1_of_all, 4),
        }


def evaluate_skab(folder: Path, *, settings: NormalSettings | None = None) -> SkabResult:
    """Score every run in ``folder``, however deep, that has a column ``anomaly``.

    Args:
        folder: of the benchmark, or a part of it.
        settings: of every sensor's detector; default: those of every other series. A detector
            goes on learning what is usual while it follows, as a live one does; the labels are not
            read. ``learns_below=0`` is one that learns from the training rows alone.

    Raises:
        SourceError: no run, or one that cannot be read.
    """
    settings = settings or NormalSettings()
    runs: dict[str, SkabRun] = {}
    for path in sorted(folder.rglob("*.csv")):
        rows = _rows(path)
        if rows is not None and rows.height > TRAINING_ROWS:
            runs[str(path.relative_to(folder))] = _run(rows, settings)
    if not runs:
        raise SourceError(
            expected=f"CSV files with a column anomaly and more than {TRAINING_ROWS} rows",
            got="none",
            where=str(folder),
            action="give the folder of the runs",
        )
    label = np.concatenate([r.label[TRAINING_ROWS:] for r in runs.values()])
    level = np.concatenate([r.score[TRAINING_ROWS:] for r in runs.values()])
    return SkabResult(
        runs=runs,
        score=score_skab(label, level >= THRESHOLD),
        f1_at={at: score_skab(label, level >= at).f1 for at in SHOWN_THRESHOLDS},
        f1_of_all=score_skab(label, np.ones(len(label), np.bool_)).f1,
    )


def write_skab(folder: Path, runs: Mapping[str, SkabRun]) -> None:
    """One CSV per run, where it was: its rows, score and alarm."""
    for name, run in runs.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        run.rows.with_columns(
            score=pl.Series(run.score), alarm=pl.Series(run.alarm).cast(pl.Int64)
        ).write_csv(path, separator=";")


def _run(rows: pl.DataFrame, settings: NormalSettings) -> SkabRun:
    sensors = [name for name in rows.columns if name not in _NOT_SENSORS]
    each = [
        series_scores(
            rows[name].cast(pl.Float64).to_numpy(),
            settings,
            learning=TRAINING_ROWS,
        )
        for name in sensors
    ]
    score = np.maximum(joint_scores(np.stack(each)), 0.0)
    score[:TRAINING_ROWS] = 0.0
    return SkabRun(
        rows=rows,
        score=score,
        alarm=score >= THRESHOLD,
        label=rows["anomaly"].to_numpy().astype(np.float64) > 0,
    )


def _rows(path: Path) -> pl.DataFrame | None:
    """None for a file without labels: it is none of the runs that are scored."""
    try:
        rows = pl.read_csv(path, separator=";", try_parse_dates=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            expected="a CSV file with semicolons",
            got=f"{type(error).__name__}: {str(error)[:200]}",
            where=str(path),
            action="take the file as it was published",
        ) from error
    return rows if "anomaly" in rows.columns else None
