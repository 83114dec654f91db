"""The alarms that a pipeline raised on NASA's telemetry, as they were told, and their score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import sightline as sl
from benchmarks.alert_scores import Intervals
from benchmarks.published.label_files import read_nasa_labels
from benchmarks.published.nasa import LABELS
from benchmarks.published.nasa_score import NasaScore, score_nasa
from sightline.errors import UsageError
from sightline.runtime import Plan
from sightline.sense.contract import Contract

SCORED = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsResult:
    """What a run told.

    Attributes:
        alarms: by channel, rows of its ``test`` array: from the row at which an alarm was raised to
            the last one before it was cleared, or the last of the array.
        score: pooled over channels that have labels; None without any.
    """

    alarms: Mapping[str, Intervals]
    score: NasaScore | None

    def as_mapping(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "channels": len(self.alarms),
            "alarms": sum(len(one) for one in self.alarms.values()),
            **({} if self.score is None else {"pooled_as_told": self.score.as_mapping()}),
        }


def evaluate_alarms(folder: Path, pipeline: Path, out: Path) -> AlarmsResult:
    """Run ``pipeline`` over the archives of ``folder`` and score its alarms on their ``test``.

    Nothing is taken back, dropped or joined afterwards: an alarm counts from the row at which the
    run raised it.

    Args:
        folder: ``*.npz`` of the channels, ``labeled_anomalies.csv`` beside if there are labels.
        pipeline: with one source, whose contract reads such archives and assumes their times.
        out: folder of the run, absent or empty.

    Raises:
        UsageError: another pipeline.
    """
    plan = sl.load_pipeline(pipeline)
    name, contract = _source_of(plan, pipeline)
    sl.run(plan, sources={name: folder}, out=out)
    told = sl.decisions(out)
    alarms = {}
    for path in sorted(folder.glob("*.npz")):
        own = told.filter(pl.col("subject").str.starts_with(f"{path.stem}/{SCORED}/"))
        alarms[path.stem] = _rows_told(own, path, contract)
    label_path = folder / LABELS
    if not label_path.exists():
        return AlarmsResult(alarms=alarms, score=None)
    labels = {n: found for n, found in read_nasa_labels(label_path).items() if n in alarms}
    return AlarmsResult(alarms=alarms, score=score_nasa((labels[n], alarms[n]) for n in labels))


def _source_of(plan: Plan, pipeline: Path) -> tuple[str, Contract]:
    for name, contract in plan.contracts.items():
        is_of_channels = contract.archive is not None and SCORED in contract.archive.arrays
        if len(plan.contracts) == 1 and is_of_channels and contract.event_time.assumed is not None:
            return name, contract
    raise UsageError(
        expected=f"one source of archives with an array `{SCORED}`, whose times are assumed",
        got=", ".join(plan.contracts) or "no source of rows",
        where=str(pipeline),
        action="take `smap.yaml` of the gateway as an example",
    )


def _rows_told(told: pl.DataFrame, path: Path, contract: Contract) -> Intervals:
    """Rows of ``test`` that the alarms of one channel cover."""
    assert contract.archive is not None
    assert contract.event_time.assumed is not None
    assumed, arrays = contract.event_time.assumed, contract.archive.arrays
    with np.load(path, allow_pickle=False) as archive:
        before = sum(len(archive[one]) for one in arrays[: arrays.index(SCORED)])
        rows = len(archive[SCORED])
    at = (told["window_start"].dt.epoch("ns") - assumed.start_ns) // assumed.period_ns - before
    found, began = [], -1
    for row, transition in zip(at.to_list(), told["transition"].to_list(), strict=True):
        if transition == "raised":
            began = row
        elif transition == "cleared" and began >= 0:
            found.append((began, max(row - 1, began)))
            began = -1
    if began >= 0:
        found.append((began, rows - 1))
    return Intervals.of(found)
