from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import UsageError
from sightline.perceive.signal_quality import WindowedSeries, median_in_windows, outage_rate

NS_PER_S = 1_000_000_000


def _series(
    samples: list[tuple[float, float, bool]], *, width_s: float = 10.0
) -> tuple[WindowedSeries, WindowedSeries]:
    """Median and outage rate under 5 of samples given as (time in s, value, valid)."""
    columns = list(zip(*samples, strict=True)) if samples else [(), (), ()]
    arguments = {
        "time_ns": (np.array(columns[0], np.float64) * NS_PER_S).astype(np.int64),
        "value": np.array(columns[1], np.float64),
        "valid": np.array(columns[2], np.bool_),
        "width_s": width_s,
    }
    return median_in_windows(**arguments), outage_rate(**arguments, threshold=5.0)


def test_windows_are_labelled_by_their_start_and_aligned_to_1970() -> None:
    median, _ = _series([(13, 1.0, True), (20, 2.0, True)])
    assert median.start_ns.tolist() == [10 * NS_PER_S, 20 * NS_PER_S]


def test_a_sample_at_the_boundary_belongs_to_the_later_window() -> None:
    median, _ = _series([(0, 1.0, True), (10, 9.0, True)])
    assert median.value.tolist() == [1.0, 9.0]


def test_the_median_of_an_even_number_is_the_middle() -> None:
    median, _ = _series([(0, 1.0, True), (1, 4.0, True)])
    assert median.value.tolist() == [2.5]


def test_an_outage_is_strictly_under_the_threshold() -> None:
    _, rate = _series([(0, 5.0, True), (1, 4.999, True), (2, 7.0, True), (3, 8.0, True)])
    assert rate.value.tolist() == [0.25]


def test_invalid_samples_and_nan_do_not_count() -> None:
    median, rate = _series([(0, 1.0, False), (1, np.nan, True), (2, 9.0, True)])
    assert (median.value.tolist(), rate.value.tolist()) == ([9.0], [0.0])
    assert median.valid_count.tolist() == [1]


def test_a_gap_is_in_the_result_as_nan_with_no_samples() -> None:
    median, rate = _series([(0, 1.0, True), (25, 2.0, True)])
    np.testing.assert_array_equal(median.value, [1.0, np.nan, 2.0])
    np.testing.assert_array_equal(rate.value, [1.0, np.nan, 1.0])
    assert median.valid_count.tolist() == rate.valid_count.tolist() == [1, 0, 1]


def test_invalid_samples_still_stretch_the_result() -> None:
    median, _ = _series([(0, 1.0, True), (25, 2.0, False)])
    assert median.valid_count.tolist() == [1, 0, 0]


def test_all_invalid_gives_windows_without_values() -> None:
    median, rate = _series([(0, 1.0, False), (12, 2.0, False)])
    assert np.isnan(median.value).all()
    assert np.isnan(rate.value).all()
    assert median.valid_count.tolist() == [0, 0]


def test_no_samples_give_no_windows() -> None:
    median, rate = _series([])
    assert (len(median), len(rate)) == (0, 0)


def test_samples_of_equal_time_all_count() -> None:
    median, rate = _series([(3, 1.0, True), (3, 1.0, True), (3, 10.0, True)])
    assert median.value.tolist() == [1.0]
    assert rate.value.tolist() == [2 / 3]
    assert rate.valid_count.tolist() == [3]


def test_order_does_not_matter() -> None:
    samples = [(0, 1.0, True), (25, 7.0, True), (1, 3.0, True), (12, 2.0, True)]
    for a, b in zip(_series(samples), _series(samples[::-1]), strict=True):
        assert a.value.tolist() == b.value.tolist()


def test_infinities_have_a_median() -> None:
    median, _ = _series([(0, np.inf, True), (1, np.inf, True)])
    assert median.value.tolist() == [np.inf]


def test_one_wrong_time_stamp_is_an_error_and_not_an_allocation() -> None:
    with pytest.raises(UsageError, match="look for a wrong time stamp"):
        _series([(0, 1.0, True), (4e9, 2.0, True)], width_s=0.001)


@pytest.mark.parametrize("width_s", [0.0, -1.0, np.nan, np.inf, 1e-10])
def test_a_width_that_is_no_width_is_refused(width_s: float) -> None:
    with pytest.raises(UsageError, match="window width of at least 1 ns"):
        _series([(0, 1.0, True)], width_s=width_s)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="of one length"):
        median_in_windows(
            time_ns=np.zeros(2, np.int64),
            value=np.zeros(1),
            valid=np.ones(2, np.bool_),
            width_s=1.0,
        )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 20, 400]), st.sampled_from([0.5, 7.0]))
def test_it_agrees_with_one_numpy_call_per_window(seed: int, n: int, width_s: float) -> None:
    rng = np.random.default_rng(seed)
    time_s = rng.integers(-50, 50, n) + rng.choice([0, 300], n)
    value = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 20, n) * 0.5)
    valid = rng.random(n) < 0.8
    median, rate = _series(
        list(zip(time_s.tolist(), value.tolist(), valid.tolist(), strict=True)), width_s=width_s
    )
    starts = np.arange(
        np.floor(time_s.min() / width_s), np.floor(time_s.max() / width_s) + 1
    ).astype(np.int64)
    np.testing.assert_array_equal(median.start_ns, starts * int(width_s * NS_PER_S))
    for i, start_s in enumerate(starts * width_s):
        inside = (time_s >= start_s) & (time_s < start_s + width_s) & valid & ~np.isnan(value)
        assert median.valid_count[i] == rate.valid_count[i] == inside.sum()
        if inside.any():
            assert median.value[i] == np.median(value[inside])
            assert rate.value[i] == np.mean(value[inside] < 5.0)
        else:
            assert np.isnan(median.value[i])
            assert np.isnan(rate.value[i])
