"""The first check each row of a batch failed, and the explanations of those that did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sightline.limits import Limits
from sightline.records.refusal import RefusalReason
from sightline.sense.few_rows import rows_where
from sightline.sense.field_values import BoolArray
from sightline.sense.refused_rows import no_rejections, refuse


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

    def kept(self) -> BoolArray | None:
        """bool[n], rows that failed nothing; None when that is all of them."""
        return None if self._first is None else self._first < 0

    def refused(self, limits: Limits) -> pl.DataFrame:
        """The rows that failed, in their order, with reason and explanation."""
        if self._first is None:
            return no_rejections()
        parts: list[pl.DataFrame] = []
        places: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        for number, failure in enumerate(self._failures):
            failed = self._first == number
            if failed.any():
                parts.append(self._explained(failure, failed, limits))
                places.append(np.flatnonzero(failed))
        if len(parts) == 1:
            return parts[0]
        order = np.argsort(np.concatenate(places), kind="stable")
        return pl.concat(parts)[order]

    def _explained(self, failure: _Failure, failed: BoolArray, limits: Limits) -> pl.DataFrame:
        detail, found = f"expected {failure.expected}", None
        if isinstance(failure.found, str):
            detail += f", got {failure.found}"
        elif failure.found is not None:
            detail += ", got "
            found = failure.found.filter(pl.Series(failed))
        return refuse(
            rows_where(self._raw, failed),
            reason=failure.reason,
            field=failure.field,
            detail=detail,
            found=found,
            limits=limits,
        )
