from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive import reference_windows as reference
from perceive.window_cases import Rows, many_rows
from sightline.errors import UsageError
from sightline.perceive.statistic_names import PLAIN_STATISTICS
from sightline.perceive.windows import (
    row_statistics,
    segment_statistics,
    segments,
)

NS_PER_S = 1_000_000_000
ALL = (*PLAIN_STATISTICS, "p00", "p05", "p25", "p50", "p95", "p99")


def _one(name: str, values: list[float], times_s: list[float] | None = None) -> float:
    """One statistic of one window."""
    times = np.arange(len(values)) if times_s is None else np.array(times_s)
    found = segment_statistics(
        np.array(values, np.float64),
        np.array([0]),
        np.array([len(values)]),
        statistics=(name,),
        time_ns=(times * NS_PER_S).astype(np.int64),
    )
    return float(found[name][0])


def _assert_same_bits(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert list(found) == list(wanted)
    for name, column in found.items():
        # NaN has many bit patterns and one meaning here; everything else must match to the bit.
        a, b = (np.where(np.isnan(c), np.nan, c) for c in (column, wanted[name]))
        np.testing.assert_array_equal(a.view(np.int64), b.view(np.int64), err_msg=name)


def test_only_valid_values_count() -> None:
    values = [1.0, np.nan, 3.0]
    assert _one("count", values) == 2
    assert _one("mean", values) == 2.0
    assert _one("nan_share", values) == pytest.approx(1 / 3)


def test_first_and_last_are_the_valid_ones() -> None:
    values = [np.nan, 2.0, 5.0, np.nan]
    assert (_one("first", values), _one("last", values)) == (2.0, 5.0)


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("count", "nan_share")])
def test_a_window_of_invalid_values_has_no_number(name: str) -> None:
    assert np.isnan(_one(name, [np.nan, np.nan]))


def test_a_window_of_invalid_values_has_count_zero_and_nan_share_one() -> None:
    assert _one("count", [np.nan]) == 0
    assert _one("nan_share", [np.nan]) == 1.0


def test_an_empty_range_has_no_numbers() -> None:
    empty = np.array([0])
    found = segment_statistics(
        np.empty(0), empty, empty, statistics=ALL, time_ns=np.empty(0, np.int64)
    )
    assert found.pop("count").tolist() == [0.0]
    assert all(np.isnan(column[0]) for column in found.values())


def test_std_is_that_of_the_population() -> None:
    assert _one("std", [1.0, 3.0]) == 1.0


@pytest.mark.parametrize("value", [0.1, 1e300, -7.3])
def test_a_constant_is_its_own_mean_and_does_not_spread(value: float) -> None:
    assert _one("mean", [value] * 7) == value
    assert _one("std", [value] * 7) == 0.0


def test_the_middle_of_an_even_number_is_between_the_inner_two() -> None:
    assert _one("median", [4.0, 1.0, 2.0, 8.0]) == 3.0


def test_quantiles_between_equal_infinities_are_infinite() -> None:
    assert _one("p95", [np.inf, np.inf, 1.0, np.inf]) == np.inf


@pytest.mark.parametrize("name", ["min", "max", "median", "mean"])
def test_a_zero_is_positive_whichever_came_first(name: str) -> None:
    assert np.copysign(1.0, _one(name, [-0.0])) == 1.0


def test_stuck_is_the_longest_run_from_its_first_to_its_last_sample() -> None:
    assert _one("stuck_s", [1, 2, 2, 2, 1, 1], [0, 1, 2, 4, 5, 6]) == 3.0


def test_an_invalid_sample_does_not_end_a_stuck_run() -> None:
    assert _one("stuck_s", [2, np.nan, 2], [0, 1, 5]) == 5.0


def test_one_sample_is_not_stuck() -> None:
    assert _one("stuck_s", [2.0]) == 0.0


def test_rate_is_the_largest_change_per_second_either_way() -> None:
    assert _one("rate_max", [0, 1, np.nan, -5], [0, 1, 2, 4]) == 2.0


def test_one_sample_has_no_rate() -> None:
    assert np.isnan(_one("rate_max", [1.0]))


@pytest.mark.parametrize("name", ["mode", "p5", "p100", "P95", ""])
def test_an_unknown_statistic_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"got '{name}'"):
        _one(name, [1.0])


def test_a_statistic_of_time_without_times_is_refused() -> None:
    one = np.array([0])
    with pytest.raises(UsageError, match="pass the event times"):
        segment_statistics(np.ones(1), one, one + 1, statistics=("stuck_s",))


def test_statistics_come_in_the_order_asked_for() -> None:
    one = np.array([0])
    names = ("p95", "count", "p05", "mean")
    assert tuple(segment_statistics(np.ones(1), one, one + 1, statistics=names)) == names


@pytest.mark.parametrize("shape", ["ascending", "descending", "organ pipe", "constant", "two"])
def test_quantiles_of_a_long_awkward_window_are_exact(shape: str) -> None:
    n = 50_001
    values = {
        "ascending": np.arange(n),
        "descending": -np.arange(n),
        "organ pipe": np.minimum(np.arange(n), n - np.arange(n)),
        "constant": np.full(n, 4),
        "two": np.arange(n) % 2,
    }[shape].astype(np.float64)
    names = ("p05", "median", "p95", "p99")
    found = segment_statistics(values, np.array([0]), np.array([n]), statistics=names)
    wanted = np.quantile(values, [0.05, 0.5, 0.95, 0.99])
    assert [found[name][0] for name in names] == wanted.tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(many_rows(), st.sampled_from([1, 7, 500]), st.sampled_from([1, 3]))
def test_kernels_agree_with_the_reference_to_the_bit(
    rows: Rows, slide_ns: int, overlap: int
) -> None:
    rows = rows.take(rows.order().kept)
    found = segments(
        key=rows.key, time_ns=rows.time_ns, slide_ns=slide_ns, width_ns=slide_ns * overlap
    )
    with np.errstate(invalid="ignore", over="ignore"):
        for column in rows.payload:
            _assert_same_bits(
                *(
                    module(column, found.lo, found.hi, statistics=ALL, time_ns=rows.time_ns)
                    for module in (segment_statistics, reference.segment_statistics)
                )
            )
    counts = row_statistics(rows.time_ns, rows.sequence, found.lo, found.hi)
    wanted = reference.row_statistics(rows.time_ns, rows.sequence, found.lo, found.hi)
    assert list(counts) == list(wanted)
    for name, column in counts.items():
        np.testing.assert_array_equal(column, wanted[name], err_msg=name)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(many_rows(finite=True), st.integers(0, 99))
def test_quantiles_are_those_of_numpy_to_the_bit(rows: Rows, percent: int) -> None:
    values = rows.payload[0]
    valid = values[~np.isnan(values)] + 0.0
    name = f"p{percent:02d}"
    found = segment_statistics(values, np.array([0]), np.array([len(rows)]), statistics=(name,))
    wanted = np.quantile(valid, percent / 100) if len(valid) else np.nan
    np.testing.assert_array_equal(found[name], [wanted])


def test_row_statistics_count_distinct_sequence_numbers() -> None:
    found = row_statistics(
        np.array([5, 6, 7, 8]), np.array([3, 9, 3, -1]), np.array([0]), np.array([4])
    )
    assert {name: column.tolist() for name, column in found.items()} == {
        "rows": [4],
        "first_ns": [5],
        "last_ns": [8],
        "sequence_min": [3],
        "sequence_max": [9],
        "sequence_distinct": [2],
    }


def test_rows_without_sequence_numbers_have_no_sequence_statistics() -> None:
    found = row_statistics(np.array([5]), np.array([-1]), np.array([0]), np.array([1]))
    names = ("sequence_min", "sequence_max", "sequence_distinct")
    assert [found[name][0] for name in names] == [-1, -1, -1]
