"""Percentiles of latencies against NumPy."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.act import LatencyRecorder
from sightline.act.latency import HIGHEST_S, LOWEST_S, RELATIVE_ERROR

latencies_s = st.lists(st.floats(LOWEST_S, HIGHEST_S), min_size=1, max_size=300)
SHARES = (0.0, 0.01, 0.5, 0.55, 0.95, 0.99, 1.0)


def recorded(values_s: list[float]) -> LatencyRecorder:
    recorder = LatencyRecorder()
    for value_s in values_s:
        recorder.record(value_s)
    return recorder


def percentiles(recorder: LatencyRecorder) -> list[float]:
    return [recorder.percentile_s(share) for share in SHARES]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(latencies_s)
def test_percentiles_agree_with_numpy_within_the_stated_error(values_s: list[float]) -> None:
    exact = np.percentile(values_s, [100 * s for s in SHARES], method="inverted_cdf")
    np.testing.assert_allclose(percentiles(recorded(values_s)), exact, rtol=RELATIVE_ERROR)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(latencies_s)
def test_the_worst_is_exact(values_s: list[float]) -> None:
    assert recorded(values_s).worst_s == max(values_s)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(latencies_s)
def test_no_percentile_exceeds_the_worst(values_s: list[float]) -> None:
    assert max(percentiles(recorded(values_s))) <= max(values_s)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(latencies_s, latencies_s)
def test_merging_is_recording_everything_in_one(a: list[float], b: list[float]) -> None:
    merged = recorded(a)
    merged.merge(recorded(b))
    assert merged.summary() == recorded(a + b).summary()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(latencies_s)
def test_an_array_counts_like_its_values(values_s: list[float]) -> None:
    at_once = LatencyRecorder()
    at_once.record_all(np.array(values_s))
    assert (at_once.count, at_once.worst_s) == (len(values_s), max(values_s))
    exact = np.percentile(values_s, [100 * s for s in SHARES], method="inverted_cdf")
    np.testing.assert_allclose(percentiles(at_once), exact, rtol=RELATIVE_ERROR)


def test_without_values_there_are_no_percentiles() -> None:
    recorder = LatencyRecorder()
    recorder.record_all([])
    assert math.isnan(recorder.percentile_s(0.5))
    assert math.isnan(recorder.worst_s)
    assert recorder.summary() == {"count": 0}


def test_below_the_lowest_the_error_is_absolute() -> None:
    assert recorded([1e-9, 2e-9, 3e-7]).percentile_s(0.5) <= LOWEST_S


def test_beyond_the_highest_only_the_worst_is_exact() -> None:
    recorder = recorded([1e6, 1e7])
    assert recorder.percentile_s(0.5) == pytest.approx(HIGHEST_S, rel=RELATIVE_ERROR)
    assert recorder.worst_s == 1e7


def test_a_clock_that_went_back_counts_as_zero() -> None:
    assert recorded([-1.0]).summary() == {
        "count": 1, "p50": 0.0, "p95": 0.0, "p99": 0.0, "worst": 0.0, "total": 0.0,
    }  # fmt: skip


def test_a_latency_that_could_not_be_measured_makes_nothing_look_better() -> None:
    assert recorded([0.1, math.nan]).worst_s == math.inf


def test_a_recorder_survives_the_way_between_processes() -> None:
    recorder = recorded([0.1, 0.5])
    assert pickle.loads(pickle.dumps(recorder)).summary() == recorder.summary()
