from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive import reference_windows as reference
from perceive.window_cases import Rows, many_rows
from sightline.errors import UsageError
from sightline.perceive.windows import Segments, segment_expressions, segments


def _segments(
    times_ns: list[int], *, slide_ns: int, width_ns: int, key: list[int] | None = None
) -> list[tuple[int, int, int, int]]:
    ids = [0] * len(times_ns) if key is None else key
    found = segments(
        key=np.array(ids, np.uint32),
        time_ns=np.array(times_ns, np.int64),
        slide_ns=slide_ns,
        width_ns=width_ns,
    )
    columns = (found.key, found.window, found.lo, found.hi)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_a_row_at_the_boundary_belongs_to_the_later_window() -> None:
    assert _segments([9, 10], slide_ns=10, width_ns=10) == [(0, 0, 0, 1), (0, 1, 1, 2)]


def test_windows_without_rows_are_left_out() -> None:
    assert [w for _, w, _, _ in _segments([1, 95], slide_ns=10, width_ns=10)] == [0, 9]


def test_a_window_never_holds_rows_of_two_keys() -> None:
    found = _segments([1, 1, 2], key=[4, 5, 5], slide_ns=10, width_ns=10)
    assert found == [(4, 0, 0, 1), (5, 0, 1, 3)]


def test_sliding_windows_share_rows() -> None:
    found = _segments([12, 25], slide_ns=10, width_ns=20)
    assert found == [(0, 0, 0, 1), (0, 1, 0, 2), (0, 2, 1, 2)]


def test_a_time_before_1970_falls_into_a_negative_window() -> None:
    assert _segments([-1], slide_ns=10, width_ns=10) == [(0, -1, 0, 1)]


def test_a_gap_of_years_costs_nothing() -> None:
    assert len(_segments([0, 10**18], slide_ns=1000, width_ns=3000)) == 6


def test_no_rows_have_no_windows() -> None:
    assert _segments([], slide_ns=10, width_ns=10) == []
    assert _segments([], slide_ns=10, width_ns=20) == []


@pytest.mark.parametrize(("slide_ns", "width_ns"), [(10, 15), (0, 10), (10, 0), (20, 10)])
def test_a_width_that_is_no_multiple_of_the_slide_is_refused(slide_ns: int, width_ns: int) -> None:
    with pytest.raises(UsageError, match="positive multiple of its slide"):
        _segments([1], slide_ns=slide_ns, width_ns=width_ns)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(many_rows(), st.sampled_from([1, 7, 500]), st.sampled_from([1, 2, 5]))
def test_the_kernel_agrees_with_the_reference(rows: Rows, slide_ns: int, overlap: int) -> None:
    rows = rows.take(rows.order().kept)
    arguments = {
        "key": rows.key,
        "time_ns": rows.time_ns,
        "slide_ns": slide_ns,
        "width_ns": slide_ns * overlap,
    }
    found, wanted = segments(**arguments), reference.segments(**arguments)
    for name in ("key", "window", "lo", "hi"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


# --- expressions of the user -------------------------------------------------------------------

FRAME = pl.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [1.0, 1.0, 0.0, 3.0]})


def _ranges(*ranges: tuple[int, int]) -> Segments:
    lo, hi = np.array(ranges, np.int64).reshape(-1, 2).T
    number = np.arange(len(lo))
    return Segments(key=number.astype(np.uint32), window=number, lo=lo, hi=hi)


def test_an_expression_gives_one_number_per_window() -> None:
    ratio = pl.col("a").sum() / pl.col("b").sum()
    found = segment_expressions(FRAME, _ranges((0, 2), (2, 4)), {"ratio": ratio})
    assert found["ratio"].tolist() == [1.5, 4.0]


def test_an_expression_sees_the_whole_of_each_overlapping_window() -> None:
    found = segment_expressions(FRAME, _ranges((0, 3), (1, 4)), {"sum": pl.col("a").sum()})
    assert found["sum"].tolist() == [7.0, 14.0]


def test_rows_outside_every_window_are_not_seen() -> None:
    found = segment_expressions(FRAME, _ranges((2, 3)), {"max": pl.col("a").max()})
    assert found["max"].tolist() == [4.0]


def test_rows_keep_their_order_inside_an_expression() -> None:
    found = segment_expressions(FRAME, _ranges((1, 4)), {"last": pl.col("a").last()})
    assert found["last"].tolist() == [8.0]


def test_a_window_without_rows_has_no_number() -> None:
    found = segment_expressions(FRAME, _ranges((0, 0), (0, 1)), {"n": pl.len()})
    np.testing.assert_array_equal(found["n"], [np.nan, 1.0])


def test_null_becomes_nan_and_true_becomes_one() -> None:
    high = pl.col("a").filter(pl.col("a") > 3).max()
    expressions = {"high": high, "any": (pl.col("a") > 3).any()}
    found = segment_expressions(FRAME, _ranges((0, 2), (2, 4)), expressions)
    np.testing.assert_array_equal(found["high"], [np.nan, 8.0])
    assert found["any"].tolist() == [0.0, 1.0]


def test_an_expression_that_is_no_aggregate_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expression .all.: expected one number per window"):
        segment_expressions(FRAME, _ranges((0, 2)), {"all": pl.col("a")})


def test_no_expressions_give_nothing() -> None:
    assert segment_expressions(FRAME, _ranges((0, 2)), {}) == {}
