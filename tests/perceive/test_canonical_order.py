from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perceive import reference_windows as reference
from perceive.window_cases import Rows, many_rows, rows_of
from sightline.perceive.canonical_order import canonical_order, total_order


def test_rows_are_sorted_by_key_then_time() -> None:
    order = rows_of((2, 5, 0, 1.0), (1, 9, 0, 2.0), (2, 4, 0, 3.0), (1, 3, 0, 4.0)).order()
    assert order.kept.tolist() == [3, 1, 2, 0]
    assert order.superseded == 0


def test_the_highest_sequence_wins_whatever_came_first() -> None:
    rows = [(0, 1, 7, 1.0), (0, 1, 9, 2.0), (0, 1, 8, 3.0)]
    assert rows_of(*rows).order().kept.tolist() == [1]
    assert rows_of(*reversed(rows)).order().kept.tolist() == [1]
    assert rows_of(*rows).order().superseded == 2


def test_the_highest_payload_wins_between_equal_sequences() -> None:
    assert rows_of((0, 1, 7, 1.0), (0, 1, 7, 3.0), (0, 1, 7, 2.0)).order().kept.tolist() == [1]


def test_a_higher_sequence_beats_a_higher_payload() -> None:
    assert rows_of((0, 1, 7, 9.0), (0, 1, 8, 1.0)).order().kept.tolist() == [1]


def test_a_later_column_decides_where_the_earlier_ones_are_equal() -> None:
    zeros = np.zeros(3, np.int64)
    order = canonical_order(
        key=zeros.astype(np.uint32),
        time_ns=zeros,
        sequence=zeros,
        payload=(np.array([1.0, 2.0, 2.0]), np.array([9.0, 3.0, 4.0])),
    )
    assert order.kept.tolist() == [2]


@pytest.mark.parametrize(
    ("low", "high"), [(np.nan, -np.inf), (-0.0, 0.0), (-1.0, 1.0), (-2.0, -1.0), (1.0, np.inf)]
)
def test_payloads_compare_by_total_order(low: float, high: float) -> None:
    assert rows_of((0, 1, 0, low), (0, 1, 0, high)).order().kept.tolist() == [1]
    assert rows_of((0, 1, 0, high), (0, 1, 0, low)).order().kept.tolist() == [0]


def test_every_nan_ranks_the_same() -> None:
    assert len(set(total_order(np.array([np.nan, -np.nan])).tolist())) == 1


def test_identical_rows_leave_one() -> None:
    order = rows_of(*[(3, 1, 0, 1.0)] * 5).order()
    assert (len(order.kept), order.superseded) == (1, 4)


def test_no_rows_give_no_rows() -> None:
    order = rows_of().order()
    assert (len(order.kept), order.superseded) == (0, 0)


def test_a_huge_key_id_needs_no_memory_of_its_size() -> None:
    order = rows_of((4_294_967_294, 2, 0, 1.0), (0, 1, 0, 1.0), (4_294_967_294, 1, 0, 1.0)).order()
    assert order.kept.tolist() == [1, 2, 0]


def test_times_before_1970_are_in_order_too() -> None:
    lowest = int(np.iinfo(np.int64).min)
    assert rows_of((0, -1, 0, 1.0), (0, lowest, 0, 1.0)).order().kept.tolist() == [1, 0]


def test_a_long_key_in_reverse_is_sorted() -> None:
    time_ns = np.arange(5000)[::-1].copy()
    zeros = np.zeros(5000, np.int64)
    order = canonical_order(
        key=zeros.astype(np.uint32), time_ns=time_ns, sequence=zeros, payload=()
    )
    assert order.kept.tolist() == list(range(5000))[::-1]


def test_read_only_and_strided_columns_are_taken() -> None:
    time_ns = np.array([3, 0, 1, 0])[::2]
    time_ns.flags.writeable = False
    zeros = np.zeros(2, np.int64)
    order = canonical_order(
        key=zeros.astype(np.uint32), time_ns=time_ns, sequence=zeros, payload=()
    )
    assert order.kept.tolist() == [1, 0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(many_rows())
def test_the_kernel_agrees_with_the_reference(rows: Rows) -> None:
    wanted = reference.canonical_order(
        key=rows.key, time_ns=rows.time_ns, sequence=rows.sequence, payload=rows.payload
    )
    order = rows.order()
    assert order.superseded == wanted.superseded
    for name in ("kept", "key", "time_ns"):
        np.testing.assert_array_equal(getattr(order, name), getattr(wanted, name), err_msg=name)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(many_rows(), st.integers(0, 2**32 - 1))
def test_arrival_order_cannot_show_in_a_single_bit(rows: Rows, seed: int) -> None:
    shuffled = rows.take(np.random.default_rng(seed).permutation(len(rows)))
    a, b = rows.take(rows.order().kept), shuffled.take(shuffled.order().kept)
    assert a.key.tobytes() == b.key.tobytes()
    assert a.time_ns.tobytes() == b.time_ns.tobytes()
    assert a.sequence.tobytes() == b.sequence.tobytes()
    assert [c.tobytes() for c in a.payload] == [c.tobytes() for c in b.payload]
