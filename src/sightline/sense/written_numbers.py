"""Numbers as people and programs write them: a whole column decides what its commas mean.

``1,023.5`` and ``20,5`` are numbers; ``1,023`` alone may be either of two. What a comma means is
told by the other cells of the column, or by the user; where neither tells, the cell is not read.
A contract's fields are read strictly instead (:mod:`.field_values`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from sightline.records.windows import FloatArray
from sightline.sense.field_values import BoolArray

Decimal = Literal[".", ","]

MISSING = frozenset(
    ["", "na", "n/a", "n.a.", "nan", "null", "none", "nil", "-", "--", "---", "#n/a", "#na", "<na>"]
)
"""Texts that say that there is no value, in small letters."""

_LEAST_NINES, _FAR_NINES = 99.9, 10.0
"""Numbers of nines from here on stand for no value where they are so many times the others."""
_BLANKS = "\u00a0\u2007\u2009\u202f"
_GROUPED = rf"^[+-]?\d{{1,3}}(?:[ '’{_BLANKS}]\d{{3}})+(?:[.,]\d*)?$"
_GROUP_MARKS = rf"[ '’{_BLANKS}]"
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_DOT_DECIMAL = rf"^[+-]?[1-9]\d{{0,2}}(?:,\d{{3}})+(?:\.\d*)?{_EXPONENT}$"
_COMMA_DECIMAL = rf"^[+-]?(?:[1-9]\d{{0,2}}(?:\.\d{{3}})+|\d*)(?:,\d*)?{_EXPONENT}$"
_EITHER = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_POINTED = r"^[+-]?\d*\.\d*(?:[eE]|$)"
_WITH_UNIT = r"^([+-]?[\d.,]*\d[.,]?(?:[eE][+-]?\d+)?)\s*([A-Za-z%°µΩ][^\d]{0,15})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenNumbers:
    """Numbers of n rows.

    Attributes:
        text: String[n], each number with a decimal point and nothing else; null where there is
            none.
        missing: bool[n], rows that say that they have no value.
        unread: bool[n], rows that hold something that is no number.
        is_ambiguous: whether the commas, or dots, of unread rows may mean either of two things.
        notes: what was found out, for a person.
    """

    text: pl.Series
    missing: BoolArray
    unread: BoolArray
    is_ambiguous: bool
    notes: tuple[str, ...]

    @property
    def values(self) -> FloatArray:
        """float64[n]; NaN where there is none."""
        numbers = self.text.cast(pl.Float64, strict=False)
        return numbers.fill_null(np.nan).to_numpy().astype(np.float64)


def says_missing(text: pl.Series, also: Sequence[str] = ()) -> BoolArray:
    """bool[n]: rows of a String column that are null or say that there is no value.

    >>> says_missing(pl.Series(["1", "NaN", " n/a ", None, "-999"]), ["-999"]).tolist()
    [False, True, True, True, True]
    """
    plain = text.str.strip_chars()
    known = plain.str.to_lowercase().is_in(list(MISSING)) | plain.is_in(list(also))
    missing: BoolArray = known.fill_null(True).to_numpy()
    return missing


def read_numbers(
    text: pl.Series, *, decimal: Decimal | None = None, also_missing: Sequence[str] = ()
) -> WrittenNumbers:
    """Read a String column as numbers. Never raises.

    Args:
        text: String[n].
        decimal: the decimal sign; None: the column tells.
        also_missing: texts that say that there is no value, beside :data:`MISSING`.

    >>> read_numbers(pl.Series(["1,023.5", "900.1", "Bad"])).values.tolist()
    [1023.5, 900.1, nan]
    >>> read_numbers(pl.Series(["20,5", "21", "1.023,5"])).values.tolist()
    [20.5, 21.0, 1023.5]
    """
    missing = says_missing(text, also_missing)
    plain = text.str.strip_chars().set(pl.Series(missing), None)
    plain = plain.str.replace_all("[−–]", "-")
    read = plain.cast(pl.Float64, strict=False)
    notes: list[str] = []
    is_ambiguous = False
    if decimal == "," or read.null_count() > plain.null_count():
        if (plain.str.to_lowercase().is_in(["true", "false"]) | plain.is_null()).all():
            truth = plain.str.to_lowercase().replace({"true": "1", "false": "0"})
            return WrittenNumbers(
                text=truth,
                missing=missing,
                unread=np.zeros(len(text), np.bool_),
                is_ambiguous=False,
                notes=(),
            )
        is_grouped = plain.str.contains(_GROUPED).fill_null(False)
        if is_grouped.any():
            plain = plain.str.replace_all(_GROUP_MARKS, "").zip_with(is_grouped, plain)
        plain, unit = _without_unit(plain)
        if unit:
            notes.append(f"numbers are read without their unit {unit!r}")
        sign = decimal or _decimal_sign(plain)
        is_ambiguous = sign is None
        if sign is not None:
            plain = _with_point(plain, sign)
            if sign == "," and decimal is None:
                notes.append('commas are read as decimal signs; --decimal "." reads them otherwise')
        else:
            plain = plain.set(plain.str.contains(",", literal=True).fill_null(False), None)
        read = plain.cast(pl.Float64, strict=False)
    unread = read.is_null().to_numpy() & ~missing
    return WrittenNumbers(
        text=plain.set(read.is_null(), None),
        missing=missing,
        unread=unread,
        is_ambiguous=is_ambiguous,
        notes=tuple(notes),
    )


def stand_in_of(values: FloatArray) -> float | None:
    """A number of nines alone that stands for no value, such as -9999; None where there is none.

    It must be ten times as large as all others, which a measurement that happens to be so is not.

    Args:
        values: float64[n]; NaN is passed over.

    >>> stand_in_of(np.array([20.5, -9999.0, 21.0, -9999.0]))
    -9999.0
    >>> stand_in_of(np.array([500.0, 999.0, 12.0])) is None
    True
    """
    sizes = np.abs(values[np.isfinite(values)])
    if len(sizes) == 0 or sizes.max() < _LEAST_NINES:
        return None
    at = int(np.nanargmax(np.abs(values)))
    others = sizes[sizes != sizes.max()]
    is_nines = set(f"{float(sizes.max()):.10g}".replace(".", "")) == {"9"}
    is_far = len(others) > 0 and sizes.max() >= _FAR_NINES * others.max()
    return float(values[at]) if is_nines and is_far else None


def _without_unit(plain: pl.Series) -> tuple[pl.Series, str | None]:
    """Numbers without the unit behind them, where at least half have one, and all the same."""
    parts = plain.str.extract_groups(_WITH_UNIT).struct.unnest()
    unit = parts.to_series(1).str.strip_chars()
    units = unit.drop_nulls().unique()
    if len(units) != 1 or 2 * unit.count() < plain.count():
        return plain, None
    return parts.to_series(0).zip_with(unit.is_not_null(), plain), str(units[0])


def _decimal_sign(plain: pl.Series) -> Decimal | None:
    """What the column's cells say; None where none says anything and some have a comma."""
    says_either = plain.str.contains(_EITHER)
    has_comma = plain.str.contains(",", literal=True)
    # A point alone is a decimal sign unless most cells say otherwise: 1.023 beside 998,5.
    is_dot = plain.str.contains(_POINTED) | (plain.str.contains(_DOT_DECIMAL) & has_comma)
    is_comma = plain.str.contains(_COMMA_DECIMAL) & plain.str.contains(r",|\..*\.")
    dots, commas = (int((found & ~says_either).sum()) for found in (is_dot, is_comma))
    if dots == commas == 0:
        return None if has_comma.any() else "."
    return "," if commas > dots else "."


def _with_point(plain: pl.Series, sign: Decimal) -> pl.Series:
    """Groups taken out and the decimal sign a point; what does not fit the sign is null."""
    if sign == ".":
        is_grouped = plain.str.contains(_DOT_DECIMAL).fill_null(False)
        return plain.str.replace_all(",", "", literal=True).zip_with(is_grouped, plain)
    fits = plain.str.contains(_COMMA_DECIMAL).fill_null(False)
    pointed = plain.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return pointed.set(~fits & plain.str.contains(r"[.,]").fill_null(False), None)
