"""No detector of a single threshold is good on the scene, and one that knows the expectation is."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from apps.gateway.single_threshold import FAMILIES, LabelledSeries, best_counts, labelled_series
from sightline.apps.gateway.telemetry_scene import (
    TelemetryScene,
    scene_block,
    scene_truth,
)

FloatArray = npt.NDArray[np.float64]


@cache
def faulty_fleet() -> list[LabelledSeries]:
    scene = TelemetryScene(
        seed=20, n_satellites=16, faults_per_satellite_day=3, gateway_faults_per_day=0.5
    )
    return labelled_series(scene)


def test_the_fleet_has_faults_enough_to_judge_by() -> None:
    assert sum(len(series.faults) for series in faulty_fleet()) >= 40


@pytest.mark.parametrize("family", FAMILIES)
def test_no_single_threshold_reaches_nine_tenths(family: str) -> None:
    """Even with thresholds for each channel, chosen with the labels on the very same data."""
    assert best_counts(faulty_fleet(), family, per_min=6).f1 < 0.9


def test_the_scoring_gives_a_perfect_detector_its_due() -> None:
    series = [s for s in faulty_fleet() if s.faults]
    marked = []
    for s in series:
        values = np.zeros(len(s.values))
        for start, end in s.faults:
            values[start:end] = 1.0
        marked.append(LabelledSeries(s.channel, values, s.faults))
    assert best_counts(marked, "EWMA residual", per_min=6).f1 == 1.0


# --- an oracle: it knows what a healthy channel would read and how noisy it is, not the noise ---


@cache
def oracle_delays_s() -> dict[str, list[float]]:
    """By kind of fault, from the start of each until the oracle sees it; infinite if never.

    Its threshold is the greatest evidence on the same day of a healthy twin: no false alarm.
    """
    sick, well = (
        TelemetryScene(
            seed=5,
            n_satellites=6,
            period_s=1.0,
            faults_per_satellite_day=rate,
            gateway_faults_per_day=0,
        )
        for rate in (10, 0)
    )
    names = [model.name for model in sick.channels]
    found: dict[str, list[float]] = {}
    for satellite in range(sick.n_satellites):
        block = scene_block(sick, satellite=satellite, day=0, with_expected=True)
        twin = scene_block(well, satellite=satellite, day=0)
        assert block.expected is not None
        for fault in scene_truth(sick, satellites=[satellite]).faults.iter_rows(named=True):
            k, kind = names.index(fault["channel"]), fault["kind"]
            span = slice(*np.searchsorted(block.time_ns, [fault["start_ns"], fault["end_ns"]]))
            expected, values = block.expected[:, k], block.values[:, k]
            score, healthy = (evidence(kind, x, expected) for x in (values, twin.values[:, k]))
            if kind in ("step", "drift", "oscillation"):
                noise = local_noise(twin.values[:, k] - expected)
                score, healthy = score / noise, healthy / noise
            seen = np.flatnonzero(score[span] > healthy.max())
            found.setdefault(kind, []).append(float(seen[0]) if len(seen) else np.inf)
    return found


def evidence(kind: str, values: FloatArray, expected: FloatArray) -> FloatArray:
    match kind:
        case "dropout":
            return np.isnan(values).astype(np.float64)
        case "stuck":
            return FAMILIES["run of equal values"][0](values, 1)
        case _:
            return np.abs(mean_of_last(np.nan_to_num(values - expected), 30))


def mean_of_last(x: FloatArray, n: int) -> FloatArray:
    total = np.cumsum(np.concatenate([np.zeros(n), x]))
    return (total[n:] - total[:-n]) / n


def local_noise(residual: FloatArray) -> FloatArray:
    squared = pl.Series(np.square(np.nan_to_num(residual)))
    spread = squared.rolling_mean(601, center=True, min_samples=100).sqrt().to_numpy()
    return np.maximum(spread, 0.3 * np.median(spread))


def test_the_oracle_is_tried_on_every_kind() -> None:
    assert {kind: len(delays) >= 3 for kind, delays in oracle_delays_s().items()} == dict.fromkeys(
        ("step", "stuck", "dropout", "oscillation", "drift"), True
    )


@pytest.mark.parametrize("kind", ["step", "stuck", "dropout"])
def test_an_oracle_sees_sudden_faults_within_a_minute_at_one_hertz(kind: str) -> None:
    assert max(oracle_delays_s()[kind]) <= 60


@pytest.mark.parametrize("kind", ["oscillation", "drift"])
def test_an_oracle_sees_slow_faults_before_they_end(kind: str) -> None:
    assert max(oracle_delays_s()[kind]) < 7200
