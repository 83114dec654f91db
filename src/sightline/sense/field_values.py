"""Columns of a source as typed values, and masks of the rows that have none.

Nothing here raises on bad data: a cell that cannot be read is a True in a mask. Text is read
strictly: no blanks around a number, no unit behind it, no thousands separators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.records.windows import FloatArray
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
        return ReadField(values=text, missing=_mask(text.is_null()), unreadable=unreadable)
    if form.type == "boolean":
        numbers, missing, unreadable = _booleans(column)
        return ReadField(values=pl.Series(numbers), missing=missing, unreadable=unreadable)
    numbers, missing, unreadable = _numbers(column)
    not_finite = None
    is_finite = np.isfinite(numbers)
    if not is_finite.all():
        told = ~is_finite if missing is None else ~is_finite & ~missing
        told = told if unreadable is None else told & ~unreadable
        not_finite = _some(told if form.nan == "refuse" else told & np.isinf(numbers))
    if form.type == "integer":
        with np.errstate(invalid="ignore"):
            is_inexact = (np.floor(numbers) != numbers) | (np.abs(numbers) > MAX_EXACT_INTEGER)
        inexact = _some(is_inexact & is_finite)
        if inexact is not None:
            unreadable = inexact if unreadable is None else unreadable | inexact
    return ReadField(
        values=pl.Series(numbers), missing=missing, unreadable=unreadable, not_finite=not_finite
    )


def read_text(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """String[n], and the rows whose value is no text. Integers become decimal text."""
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        return column, None
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype.is_integer():
        return column.cast(pl.String), None
    return _nothing(column, pl.String()), _mask(column.is_not_null())


def read_sequence(column: pl.Series) -> tuple[pl.Series, BoolArray | None]:
    """Int64[n] (-1 where unusable), and the rows that are null, negative or beyond 63 bits."""
    if column.dtype.is_float():
        # An integer column with gaps often arrives as float; whole numbers are still exact.
        numbers = column.fill_null(float("nan")).cast(pl.Float64).to_numpy()
        with np.errstate(invalid="ignore"):
            is_whole = (np.floor(numbers) == numbers) & (np.abs(numbers) <= MAX_EXACT_INTEGER)
        whole = pl.Series(np.where(is_whole, numbers, -1.0)).cast(pl.Int64)
    elif isinstance(column.dtype, pl.String) or column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False).fill_null(-1)
    else:
        whole = _nothing(column, pl.Int64()).fill_null(-1)
    unusable = _mask(whole < 0)
    return whole, unusable


def _numbers(column: pl.Series) -> tuple[FloatArray, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.String):
        read = column.cast(pl.Float64, strict=False)
        missing = _mask(_is_blank(column))
        unread = _mask(read.is_null())
        if unread is not None and missing is not None:
            unread = _some(unread & ~missing)
        return _floats(read), missing, unread
    if dtype.is_numeric():
        read = column.cast(pl.Float64, strict=False)
        return _floats(read), _mask(column.is_null()), None
    return _all_unreadable(column)


def _booleans(column: pl.Series) -> tuple[FloatArray, BoolArray | None, BoolArray | None]:
    dtype = column.dtype
    if isinstance(dtype, pl.Boolean):
        return _floats(column.cast(pl.Float64)), _mask(column.is_null()), None
    if not (isinstance(dtype, pl.String) or dtype.is_integer()):
        return _all_unreadable(column)
    text = column.cast(pl.String)
    read = text.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Float64)
    missing = _is_blank(text)
    return _floats(read), _mask(missing), _mask(read.is_null() & ~missing)


def _all_unreadable(column: pl.Series) -> tuple[FloatArray, BoolArray | None, BoolArray | None]:
    return (
        np.full(len(column), np.nan),
        _mask(column.is_null()),
        _mask(column.is_not_null()),
    )


def _is_blank(text: pl.Series) -> pl.Series:
    return text.is_null() | (text == "").fill_null(True)


def _floats(column: pl.Series) -> FloatArray:
    found: FloatArray = column.fill_null(float("nan")).to_numpy()
    return found


def _nothing(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(column.name, [None], dtype=dtype).new_from_index(0, len(column))


def _mask(column: pl.Series) -> BoolArray | None:
    return column.to_numpy() if column.any() else None


def _some(mask: BoolArray) -> BoolArray | None:
    return mask if mask.any() else None
