"""Rows in another order of arrival are the same rows, displaced by no more than a bound."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sightline.apps.gateway import SceneFrames, simulate, watched_scene
from simulation.arrival import NS_PER_S, shuffle_arrival


@cache
def short_run() -> SceneFrames:
    return simulate(watched_scene(n_satellites=6, duration_s=120))


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    within_s=st.floats(0, 30),
    seed=st.integers(0, 2**32 - 1),
    frame=st.sampled_from(["telemetry", "logs"]),
)
def test_shuffling_displaces_no_row_by_more_than_the_bound(
    within_s: float, seed: int, frame: str
) -> None:
    rows = getattr(short_run(), frame)
    shuffled = shuffle_arrival(rows, within_s=within_s, rng=np.random.default_rng(seed))
    behind_ns = shuffled.select((pl.col("time_ns").cum_max() - pl.col("time_ns")).max()).item()
    assert behind_ns <= within_s * NS_PER_S


@settings(max_examples=20, derandomize=True, deadline=None)
@given(within_s=st.floats(0, 30), seed=st.integers(0, 2**32 - 1))
def test_shuffling_keeps_every_row_and_gives_receipt_times_in_order(
    within_s: float, seed: int
) -> None:
    rows = short_run().telemetry
    shuffled = shuffle_arrival(rows, within_s=within_s, rng=np.random.default_rng(seed))
    content = [name for name in rows.columns if name != "received_ns"]
    assert shuffled.columns == rows.columns
    assert_frame_equal(shuffled[content], rows[content], check_row_order=False, check_exact=True)
    assert shuffled["received_ns"].is_sorted()
    assert shuffled.select((pl.col("received_ns") > pl.col("time_ns")).all()).item()


def test_shuffling_uses_most_of_its_bound() -> None:
    shuffled = shuffle_arrival(short_run().telemetry, within_s=5, rng=np.random.default_rng(1))
    behind = pl.col("time_ns").cum_max().over("satellite") - pl.col("time_ns")
    assert shuffled.select(behind.max()).item() > 2.5 * NS_PER_S
