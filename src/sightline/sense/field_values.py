"""Columns of a source as typed values, and masks of the rows that have none.

Nothing here raises on bad data: a cell that cannot be read is a True in a mask. Text is read
strictly: no blanks around a number, no unit behind it, no thousands separators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.sense.contract import FieldForm

BoolArray = npt.NDArray[np.bool_]

MAX_EXACT_INTEGER = 2**53 - 1
"""Largest integer that Float64 keeps exactly, with every one below it."""

_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadField:
    """One field of n rows.

    Attributes:
        values: Float64[n] (NaN where there is no valid number) or String[n].
        missing: bool[n], null or empty in the source; None when there is none.
        unreadable: bool[n], of another type than the contract says; None when there is none.
        not_finite: bool[n], NaN or ±inf where the contract forbids it; None when there is none.
    """

    values: pl.Series
    missing: BoolArray | None = None
    unreadable: BoolArray | None = None
    not_finite: BoolArray | None = None


def read_field(column: pl.Series, form: FieldForm) -> ReadField:
    """Read ``column`` as the contract's type of field."""
    if form.type == "text":
        text, unreadable = read_text(column)
        return ReadField(values=text, missing=_nulls(text), unreadable=unreadable)
    if form.type == "boolean":
        values, missing, unreadable = _booleans(column)
        return ReadField(values=values, missing=missing, unreadable=unreadable)
    values, missing, unreadable = _numbers(column)
    lowest, highest = extremes(values)
    not_finite = None
    if lowest == -math.inf or highest == math.inf or form.nan == "refuse":
        numbers = values.to_numpy()
        told = np.isinf(numbers) if form.nan == "invalid" else ~np.isfinite(numbers)
        told = told if missing is None else told & ~missing
        not_finite = _some(told if unreadable is None else told & ~unreadable)
    is_whole = column.dtype.is_integer() and lowest >= -MAX_EXACT_INTEGER
    if form.type == "integer" and not (is_whole and highest <= MAX_EXACT_INTEGER):
        numbers = values.to_numpy()
        with np.errstate(invalid="ignore"):
            is_inexact = (np.floor(numbers) != numbers) | (np.abs(numbers) > MAX_EXACT_INTEGER)
        inexact = _some(is_inexact & np.isfinite(numbers))
        if inexact is not None:
            unreadable = inexact if unreadable is None else unreadable | inexact
    return ReadField(values=values, missing=missing, unreadable=unreadable, not_finite=not_finite)


def extremes(values: pl.Series) -> tuple[float, float]:
    """Lowest and highest value of a Float64 or Int64 column, NaN and null aside.

    NaN, which compares as false with everything, where there is no value. Looking at two numbers
    is enough for most columns, and needs no mask.

    >>> extremes(pl.Series([2.0, float("nan"), 1.0]))
    (1.0, 2.0)
    """
    lowest, highest = values.min(), values.max()
    if lowest is None or highest is None:
        return math.nan, math.nan
    return lowest, highest  # type: ignore[return-value]  # of these types they are numbers


def read_text(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """String[n], and the rows whose value is no text. Integers become decimal text."""
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        return column, None
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype.is_integer():
        return column.cast(pl.String), None
    return _nothing(column, pl.String()), _values(column)


def read_sequence(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """Int64[n] (-1 where unusable), and the rows that are null, negative or beyond 63 bits."""
    if column.dtype.is_float():
        # An integer column with gaps often arrives as float; whole numbers are still exact.
        numbers = _no_nulls(column.cast(pl.Float64), math.nan).to_numpy()
        with np.errstate(invalid="ignore"):
            is_whole = (np.floor(numbers) == numbers) & (np.abs(numbers) <= MAX_EXACT_INTEGER)
        whole = pl.Series(np.where(is_whole, numbers, -1.0)).cast(pl.Int64)
    elif isinstance(column.dtype, pl.String) or column.dtype.is_integer():
        whole = _no_nulls(column.cast(pl.Int64, strict=False), -1)
    else:
        whole = _no_nulls(_nothing(column, pl.Int64()), -1)
    return whole, (whole < 0).to_numpy() if extremes(whole)[0] < 0 else None


def _numbers(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        read = column.cast(pl.Float64, strict=False)
        missing = blank_rows(column)
        unread = _nulls(read)
        if unread is not None and missing is not None:
            unread = _some(unread & ~missing)
        return _no_nulls(read, math.nan), missing, unread
    if dtype.is_numeric():
        read = column.cast(pl.Float64, strict=False)
        return _no_nulls(read, math.nan), _nulls(column), None
    return _all_unreadable(column)


def _booleans(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.Boolean):
        return _no_nulls(column.cast(pl.Float64), math.nan), _nulls(column), None
    if not (isinstance(dtype, pl.String) or dtype.is_integer()):
        return _all_unreadable(column)
    text = column.cast(pl.String)
    read = text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Float64)
    missing, unread = blank_rows(text), _nulls(read)
    if unread is not None and missing is not None:
        unread = _some(unread & ~missing)
    return _no_nulls(read, math.nan), missing, unread


def _all_unreadable(column: pl.Series) -> tuple[pl.Series, BoolArray | None, BoolArray | None]:
    return pl.Series(np.full(len(column), np.nan)), _nulls(column), _values(column)


def blank_rows(text: pl.Series) -> BoolArray | None:
    """bool[n], rows of a String column that are null or empty; None when there is none."""
    blank = text == ""
    if text.null_count():
        blank = text.is_null() | blank
    return blank.to_numpy() if blank.any() else None


# Asking for the number of nulls costs nothing; looking for them, or replacing none, costs a trip
# to Polars' thread pool.


def _no_nulls(column: pl.Series, value: float) -> pl.Series:
    return column.fill_null(value) if column.null_count() else column


def _nulls(column: pl.Series) -> BoolArray | None:
    return column.is_null().to_numpy() if column.null_count() else None


def _values(column: pl.Series) -> BoolArray | None:
    return column.is_not_null().to_numpy() if column.null_count() < len(column) else None


def _nothing(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))


def _some(mask: BoolArray) -> BoolArray | None:
    return mask if mask.any() else None
