"""Median and outage rate of one link: over everything, and in windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.signal_quality import SignalQuality, signal_quality
from sightline.perceive.windows import segment_statistics

NS_PER_S = 1_000_000_000


def quality(
    samples: list[tuple[float, float, bool]], *, window_s: float = 10.0, **more: Any
) -> SignalQuality:
    """Of samples given as (time in s, value, valid), an outage under 5, windows from 1970 on."""
    columns = list(zip(*samples, strict=True)) if samples else [(), (), ()]
    return signal_quality(
        (np.array(columns[0], np.float64) * NS_PER_S).astype(np.int64),
        np.array(columns[1], np.float64),
        valid=np.array(columns[2], np.bool_),
        threshold_db=5.0,
        window_s=window_s,
        **{"align": "epoch"} | more,
    )


def test_windows_are_labelled_by_their_start_and_may_be_aligned_to_1970() -> None:
    found = quality([(13, 1.0, True), (20, 2.0, True)])
    assert found.start_ns.tolist() == [10 * NS_PER_S, 20 * NS_PER_S]


def test_windows_begin_with_the_first_sample_valid_or_not_unless_asked_otherwise() -> None:
    found = quality([(24, 2.0, True), (13, 1.0, False)], align="first")
    assert found.start_ns.tolist() == [13 * NS_PER_S, 23 * NS_PER_S]
    np.testing.assert_array_equal(found.window_median_db, [np.nan, 2.0])


def test_a_sample_at_the_boundary_belongs_to_the_later_window() -> None:
    assert quality([(0, 1.0, True), (10, 9.0, True)]).window_median_db.tolist() == [1.0, 9.0]


def test_the_median_of_an_even_number_is_the_middle() -> None:
    found = quality([(0, 1.0, True), (1, 4.0, True)])
    assert (found.median_db, found.window_median_db.tolist()) == (2.5, [2.5])


def test_an_outage_is_strictly_under_the_threshold() -> None:
    found = quality([(0, 5.0, True), (1, 4.999, True), (2, 7.0, True), (3, 8.0, True)])
    assert (found.outage_rate, found.window_outage_rate.tolist()) == (0.25, [0.25])


def test_invalid_samples_and_nan_do_not_count() -> None:
    found = quality([(0, 1.0, False), (1, np.nan, True), (2, 9.0, True)])
    assert (found.median_db, found.outage_rate, found.valid_count) == (9.0, 0.0, 1)
    assert found.window_valid_count.tolist() == [1]


def test_a_gap_is_in_the_result_as_nan_with_no_samples() -> None:
    found = quality([(0, 1.0, True), (25, 2.0, True)])
    np.testing.assert_array_equal(found.window_median_db, [1.0, np.nan, 2.0])
    np.testing.assert_array_equal(found.window_outage_rate, [1.0, np.nan, 1.0])
    assert found.window_valid_count.tolist() == [1, 0, 1]


def test_invalid_samples_still_stretch_the_result() -> None:
    found = quality([(0, 1.0, True), (25, 2.0, False)])
    assert found.window_valid_count.tolist() == [1, 0, 0]


def test_all_invalid_gives_windows_without_values() -> None:
    found = quality([(0, 1.0, False), (12, 2.0, False)])
    assert np.isnan([*found.window_median_db, *found.window_outage_rate]).all()
    assert np.isnan([found.median_db, found.outage_rate]).all()
    assert found.window_valid_count.tolist() == [0, 0]


def test_no_samples_give_no_windows() -> None:
    found = quality([])
    assert (len(found), found.valid_count) == (0, 0)
    assert np.isnan([found.median_db, found.outage_rate]).all()


def test_samples_of_equal_time_all_count() -> None:
    found = quality([(3, 1.0, True), (3, 1.0, True), (3, 10.0, True)])
    assert found.window_median_db.tolist() == [1.0]
    assert found.window_outage_rate.tolist() == [2 / 3]


def test_order_does_not_matter() -> None:
    samples = [(0, 1.0, True), (25, 7.0, True), (1, 3.0, True), (12, 2.0, True)]
    one, other = quality(samples), quality(samples[::-1])
    assert one.window_median_db.tolist() == other.window_median_db.tolist()
    assert one.window_outage_rate.tolist() == other.window_outage_rate.tolist()


def test_infinities_have_a_median() -> None:
    assert quality([(0, np.inf, True), (1, np.inf, True)]).window_median_db.tolist() == [np.inf]


def test_times_may_be_seconds_and_all_samples_count_by_default() -> None:
    found = signal_quality(
        np.array([0.5, 2.5]),
        np.array([4.0, 8.0]),
        threshold_db=5.0,
        window_s=2.0,
        time_unit="s",
    )
    assert found.start_ns.tolist() == [NS_PER_S // 2, 5 * NS_PER_S // 2]
    assert found.window_outage_rate.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("time", [np.array([0.5]), np.array([np.nan])])
def test_times_that_are_no_whole_ns_are_refused_unless_the_unit_is_named(time: Any) -> None:
    with pytest.raises(UsageError, match="finite times"):
        signal_quality(time, np.ones(1), threshold_db=5.0, window_s=1.0)


def test_one_wrong_time_stamp_is_an_error_and_not_an_allocation() -> None:
    with pytest.raises(UsageError, match="look for a wrong time stamp"):
        quality([(0, 1.0, True), (4e9, 2.0, True)], window_s=0.001)


@pytest.mark.parametrize("window_s", [0.0, -1.0, np.nan, np.inf, 1e-10])
def test_a_width_that_is_no_width_is_refused(window_s: float) -> None:
    with pytest.raises(UsageError, match="window width of at least 1 ns"):
        quality([(0, 1.0, True)], window_s=window_s)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="of one length"):
        signal_quality(np.zeros(2, np.int64), np.zeros(1), threshold_db=5.0, window_s=1.0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 20, 400]),
    st.sampled_from([0.5, 7.0]),
    st.sampled_from(["first", "epoch"]),
)
def test_it_agrees_with_one_numpy_call_per_window(
    seed: int, n: int, window_s: float, align: str
) -> None:
    rng = np.random.default_rng(seed)
    time_s = rng.integers(-50, 50, n) + rng.choice([0, 300], n)
    value = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 20, n) * 0.5)
    valid = rng.random(n) < 0.8
    found = quality(
        list(zip(time_s.tolist(), value.tolist(), valid.tolist(), strict=True)),
        window_s=window_s,
        align=align,
    )
    origin = time_s.min() if align == "first" else np.floor(time_s.min() / window_s) * window_s
    count = int(np.floor((time_s.max() - origin) / window_s)) + 1
    starts = origin + np.arange(count) * window_s
    np.testing.assert_array_equal(found.start_ns, (starts * NS_PER_S).astype(np.int64))
    for i, start_s in enumerate(starts):
        inside = (time_s >= start_s) & (time_s < start_s + window_s) & valid & ~np.isnan(value)
        assert found.window_valid_count[i] == inside.sum()
        if inside.any():
            assert found.window_median_db[i] == np.median(value[inside])
            assert found.window_outage_rate[i] == np.mean(value[inside] < 5.0)
        else:
            assert np.isnan([found.window_median_db[i], found.window_outage_rate[i]]).all()


def test_windows_of_a_pipeline_have_the_same_two_statistics() -> None:
    value = np.array([4.0, 5.0, np.nan, 6.0, np.nan])
    lo, hi = np.array([0, 2, 4, 5]), np.array([3, 4, 5, 5])
    found = segment_statistics(value, lo, hi, statistics=["median", "below_5", "below_5.5"])
    np.testing.assert_array_equal(found["median"], [4.5, 6.0, np.nan, np.nan])
    np.testing.assert_array_equal(found["below_5"], [0.5, 0.0, np.nan, np.nan])
    np.testing.assert_array_equal(found["below_5.5"], [1.0, 0.0, np.nan, np.nan])
