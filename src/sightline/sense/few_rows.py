"""Small batches: the same results as Polars' own operations, without a trip to its thread pool.

A batch of fifty rows is filtered in microseconds, but handing it to another thread and waiting for
that costs several times as much, and far more while the cores are busy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

FEW_ROWS = 4096
"""Rows up to which one thread is faster than the pool, or as fast."""


def rows_where(frame: pl.DataFrame, wanted: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The rows of ``frame`` where ``wanted`` (bool[n]) is true, in their order."""
    mask = pl.Series(wanted)
    if frame.height > FEW_ROWS:
        return frame.filter(mask)
    return pl.DataFrame([column.filter(mask) for column in frame.get_columns()])


def rows_outside(column: pl.Series, known: frozenset[str]) -> npt.NDArray[np.bool_] | None:
    """bool[n], rows whose text is not in ``known``; None when there is none. Nulls are inside."""
    if len(column) <= FEW_ROWS and known.issuperset(set(column.to_list()) - {None}):
        return None
    outside = ~column.is_in(list(known)).fill_null(True)
    return outside.to_numpy() if outside.any() else None
