from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.perceive.row_store import concatenate_by_key, take_rows


def test_taking_rows_is_indexing() -> None:
    row = np.array([3, 0, 3])
    for dtype in (np.uint32, np.int64, np.float64, np.float32, np.bool_):
        column = np.arange(8).astype(dtype)[::2]
        taken = take_rows(column, row)
        assert taken.dtype == dtype
        assert taken.tolist() == column[row].tolist()


@pytest.mark.parametrize("row", [-1, 4])
def test_taking_a_row_outside_the_column_is_an_error(row: int) -> None:
    with pytest.raises(IndexError, match="a column of 4"):
        take_rows(np.zeros(4), np.array([0, row]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 63, 64, 1000, 2**32]), st.integers(1, 4))
def test_concatenating_by_key_keeps_each_row_together_and_each_key_in_order(
    seed: int, keys: int, batches: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 200, batches)
    ids = [rng.integers(0, keys, n).astype(np.uint32) for n in sizes]
    key = np.concatenate(ids)
    arrival = np.arange(len(key))
    value = rng.normal(size=len(key))
    half = arrival.astype(np.float32)
    cuts = np.cumsum(sizes)[:-1]
    found_key, columns = concatenate_by_key(
        ids, [np.split(column, cuts) for column in (arrival, value, half)]
    )
    order = columns[0]
    assert sorted(order.tolist()) == arrival.tolist()
    np.testing.assert_array_equal(found_key, key[order])
    np.testing.assert_array_equal(columns[1], value[order])
    np.testing.assert_array_equal(columns[2], half[order])
    by_key = np.argsort(found_key, kind="stable")
    np.testing.assert_array_equal(order[by_key], np.argsort(key, kind="stable"))


def test_batches_of_no_rows_concatenate_to_no_rows() -> None:
    key, (value,) = concatenate_by_key([np.empty(0, np.uint32)], [[np.empty(0)]])
    assert (len(key), len(value)) == (0, 0)
