"""The first check each row of a batch failed, and the explanations of those that did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.records.signals import ORIGIN, ROW
from sightline.sense.field_values import BoolArray
from sightline.sense.refused_rows import no_rejections, rows_as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    reason: RefusalReason
    field: str
    expected: str
    found: pl.Series | str | None  # the column at fault, or words


class RowChecks:
    """Collects, per row, the first check it failed."""

    def __init__(self, raw: pl.DataFrame) -> None:
        self._raw = raw
        self._failures: list[_Failure] = []
        self._first: np.ndarray[tuple[int], np.dtype[np.int16]] | None = None

    def fail(
        self,
        mask: BoolArray | None,
        reason: RefusalReason,
        field: str,
        expected: str,
        got: pl.Series | str | None = None,
    ) -> None:
        """Fail the rows in ``mask`` (bool[n]; None: no row) that have not failed before."""
        if mask is None or not mask.any():
            return
        if self._first is None:
            self._first = np.full(self._raw.height, -1, np.int16)
        self._first[mask & (self._first < 0)] = len(self._failures)
        self._failures.append(_Failure(reason=reason, field=field, expected=expected, found=got))

    def fail_all(self, reason: RefusalReason, field: str, expected: str, *, got: str) -> None:
        self.fail(np.ones(self._raw.height, np.bool_), reason, field, expected, got)

    def kept(self) -> pl.Series | None:
        """Boolean[n], rows that failed nothing; None when that is all of them."""
        return None if self._first is None else pl.Series(self._first < 0)

    def refused(self, limits: Limits) -> pl.DataFrame:
        """The rows that failed, in their order, with reason and explanation."""
        if self._first is None:
            return no_rejections()
        parts: list[pl.DataFrame] = []
        for number, failure in enumerate(self._failures):
            rows = np.flatnonzero(self._first == number)
            if len(rows):
                parts.append(self._explained(failure, rows, limits))
        places = np.concatenate(
            [np.flatnonzero(self._first == number) for number in range(len(self._failures))]
        )
        order = np.argsort(places, kind="stable")
        return pl.concat(parts)[order]

    def _explained(
        self, failure: _Failure, rows: np.ndarray[tuple[int], np.dtype[np.int64]], limits: Limits
    ) -> pl.DataFrame:
        raw = self._raw[rows]
        expected = f"expected {failure.expected}"
        detail: pl.Expr | pl.Series = pl.lit(expected)
        if isinstance(failure.found, str):
            detail = pl.lit(f"{expected}, got {failure.found}")
        elif failure.found is not None:
            found = rows_as_json(failure.found[rows].alias("v").to_frame(), limits=limits)
            # '{"v":12.5}' without its frame is the value as JSON shows it.
            shown = found.str.strip_prefix('{"v":').str.strip_suffix("}").str.head(80)
            detail = (f"{expected}, got " + shown).alias("detail")
        return raw.select(
            pl.col(ORIGIN).cast(pl.String),
            pl.col(ROW).cast(pl.Int64),
            pl.lit(failure.reason.value).alias("reason"),
            pl.lit(failure.field).alias("field"),
            detail.alias("detail"),
            rows_as_json(raw, limits=limits).alias("raw"),
        )
