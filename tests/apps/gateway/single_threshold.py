"""Detectors of a single threshold, given every advantage, and how events are scored.

The threshold is chosen with the labels in hand, on the data it is scored on, for each channel of
its own; windows are chosen the same way. Missing values count as found by everyone. What comes of
it is more than such a detector can reach.

Scoring, in minutes: alarms less than ``MERGE_MIN`` apart are one. A fault is found if an alarm
meets it, up to ``GRACE_MIN`` after its end. An alarm outside faults is false, once for each hour
begun (else one alarm for the whole day would be one false alarm). F1 = 2 TP / (2 TP + FP + FN), as
Hundman et al. (KDD 2018) count events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.apps.gateway.telemetry_scene import TelemetryScene, scene_blocks, scene_truth

FloatArray = npt.NDArray[np.float64]

MERGE_MIN = 10
GRACE_MIN = 10
FALSE_EACH_MIN = 60
N_THRESHOLDS = 40


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """One channel of one satellite on one day, with its faults as ranges of samples."""

    channel: int
    values: FloatArray
    faults: tuple[tuple[int, int], ...]


def labelled_series(scene: TelemetryScene) -> list[LabelledSeries]:
    faults = scene_truth(scene).faults
    by_subject = {
        key: frame.select("start_ns", "end_ns").rows()
        for key, frame in faults.group_by("satellite", "channel")
    }
    found = []
    for block in scene_blocks(scene):
        name = scene.satellite_name(block.satellite)
        for k, model in enumerate(scene.channels):
            spans = by_subject.get((name, model.name), [])
            ranges = [tuple(np.searchsorted(block.time_ns, span).tolist()) for span in spans]
            inside = tuple(r for r in ranges if r[0] < r[1])
            found.append(LabelledSeries(k, block.values[:, k], inside))
    return found


# --- families: float64[n] samples to float64[n] scores, NaN to NaN ------------------------------


def global_level(x: FloatArray, _: int) -> FloatArray:
    return np.abs(x - np.nanmedian(x)) / (1.4826 * _mad(x))


def difference(x: FloatArray, lag: int) -> FloatArray:
    score = np.zeros(len(x))
    score[lag:] = np.abs(x[lag:] - x[:-lag])
    return score / (1.4826 * _mad(np.diff(x)))


def rolling_z(x: FloatArray, window: int) -> FloatArray:
    past = pl.Series(x).fill_nan(None).shift(1)
    mean = past.rolling_mean(window, min_samples=window // 2).to_numpy()
    spread = past.rolling_std(window, min_samples=window // 2).to_numpy()
    return np.abs(x - mean) / np.maximum(spread, 0.1 * _mad(np.diff(x)))


def ewma_residual(x: FloatArray, span: int) -> FloatArray:
    past = pl.Series(x).fill_nan(None).shift(1).ewm_mean(span=span, ignore_nulls=True)
    return np.abs(x - past.to_numpy()) / (1.4826 * _mad(np.diff(x)))


def equal_run(x: FloatArray, _: int) -> FloatArray:
    """Samples for which the value has not changed."""
    index = np.arange(len(x))
    changed = np.append(True, x[1:] != x[:-1])
    return (index - np.maximum.accumulate(np.where(changed, index, 0))).astype(np.float64)


FAMILIES = {
    "global level": (global_level, (1,)),
    "difference": (difference, (1, 6)),
    "rolling z-score": (rolling_z, (30, 180)),
    "EWMA residual": (ewma_residual, (12, 120)),
    "run of equal values": (equal_run, (1,)),
}


def _mad(x: FloatArray) -> float:
    spread = float(np.nanmedian(np.abs(x - np.nanmedian(x))))
    return max(spread, 0.25 * float(np.nanstd(x)), 1e-9)


# --- scoring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counts:
    found: int
    false: int
    missed: int

    @property
    def f1(self) -> float:
        return 2 * self.found / max(2 * self.found + self.false + self.missed, 1)


def best_counts(series: list[LabelledSeries], family: str, *, per_min: int) -> Counts:
    """With the best window, and for each channel the best threshold, for the F1 over all."""
    score, windows = FAMILIES[family]
    by_window = [
        _best_thresholds([(s, score(s.values, window)) for s in series], per_min)
        for window in windows
    ]
    return max(by_window, key=lambda counts: counts.f1)


def _best_thresholds(scored: list[tuple[LabelledSeries, FloatArray]], per_min: int) -> Counts:
    choices: dict[int, list[Counts]] = {}
    for channel in sorted({s.channel for s, _ in scored}):
        own = [(s, values) for s, values in scored if s.channel == channel]
        choices[channel] = list(_by_threshold(own, per_min))
    # Dinkelbach (1967): the ratio of sums is greatest where this converges.
    ratio, total = 0.0, Counts(0, 0, 0)
    for _ in range(50):
        picked = [max(c, key=lambda n, r=ratio: _surplus(n, r)) for c in choices.values()]
        total = Counts(
            sum(n.found for n in picked),
            sum(n.false for n in picked),
            sum(n.missed for n in picked),
        )
        if total.f1 <= ratio:
            break
        ratio = total.f1
    return total


def _surplus(n: Counts, ratio: float) -> float:
    return 2 * n.found - ratio * (2 * n.found + n.false + n.missed)


def _by_threshold(own: list[tuple[LabelledSeries, FloatArray]], per_min: int) -> Iterator[Counts]:
    minutes = [_by_minute(score, per_min) for _, score in own]
    missing = [_by_minute(np.isnan(s.values) * 1.0, per_min) > 0 for s, _ in own]
    every = np.concatenate(minutes)
    shares = 1 - np.append(np.geomspace(0.2, 1e-5, N_THRESHOLDS - 1), 0.0)
    thresholds = [*np.quantile(every, shares).tolist(), np.inf]
    for threshold in thresholds:
        found = false = missed = 0
        for (labelled, _), score, is_missing in zip(own, minutes, missing, strict=True):
            alarm = _merged(score >= threshold)
            explained = np.zeros(len(alarm), np.bool_)
            for start, end in labelled.faults:
                span = slice(start // per_min, -(-end // per_min) + GRACE_MIN)
                is_found = bool((alarm[span] | is_missing[span]).any())
                found, missed = found + is_found, missed + (not is_found)
                explained[span] = True
            false += _alarms(alarm & ~explained)
        yield Counts(found, false, missed)


def _by_minute(score: FloatArray, per_min: int) -> FloatArray:
    return np.nan_to_num(score, nan=0.0, posinf=1e12).reshape(-1, per_min).max(axis=1)


def _merged(alarm: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    at = np.flatnonzero(alarm)
    gaps = np.flatnonzero(np.diff(at) <= MERGE_MIN)
    filled = alarm.copy()
    for k in gaps.tolist():
        filled[at[k] : at[k + 1]] = True
    return filled


def _alarms(alarm: npt.NDArray[np.bool_]) -> int:
    edges = np.diff(np.concatenate([[0], alarm.astype(np.int8), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int((-(-lengths // FALSE_EACH_MIN)).sum())
