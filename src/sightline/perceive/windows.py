"""Windows over rows: canonical order, ranges of rows per window, and statistics of each range.

Work is done once, when a window closes, on all of its rows. The canonical order makes every result
a function of the *multiset* of rows: neither the order of arrival nor the cut into batches can
show in a single bit.

>>> import numpy as np
>>> key = np.array([1, 0, 1, 1], np.uint32)
>>> time_ns = np.array([5, 0, 3, 3])
>>> snr_db = np.array([10.0, 20.0, 30.0, 40.0])
>>> order = canonical_order(key=key, time_ns=time_ns, sequence=np.array([0, 0, 1, 2]),
...                         payload=(snr_db,))
>>> order.kept.tolist(), order.superseded
([1, 3, 0], 1)
>>> found = segments(key=key[order.kept], time_ns=time_ns[order.kept], slide_ns=4, width_ns=4)
>>> found.key.tolist(), found.window.tolist()
([0, 1, 1], [0, 0, 1])
>>> segment_statistics(snr_db[order.kept], found.lo, found.hi, statistics=("mean",))
{'mean': array([20., 40., 10.])}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.errors import UsageError
from sightline.perceive import window_kernels as kernels
from sightline.perceive.order_kernels import order_rows
from sightline.records.windows import FloatArray, IdArray, IntArray

PLAIN_STATISTICS = (
    "count",
    "mean",
    "min",
    "max",
    "std",
    "first",
    "last",
    "median",
    "nan_share",
    "stuck_s",
    "rate_max",
)
"""Statistics besides the quantiles ``p00`` to ``p99`` and the shares ``below_T``."""

_MOMENTS = ("count", "mean", "min", "max", "std", "first", "last")
_CHANGES = ("stuck_s", "rate_max")
_ROW_COUNTS = (
    "rows",
    "first_ns",
    "last_ns",
    "sequence_min",
    "sequence_max",
    "sequence_distinct",
)
_QUANTILE = re.compile(r"p(\d\d)")
_BELOW = re.compile(r"below_(-?\d+(?:\.\d+)?)")
_FEW_KEYS = 1 << 16  # counters that are always affordable: they fit a second-level cache
_SPARSE = 4  # ids per row above which the ids are renumbered first
_EXPRESSION_ROWS = 1 << 22  # rows of overlapping windows that are copied at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalOrder:
    """Which rows stay, in which order.

    Attributes:
        kept: int64[m], positions of the rows kept, sorted by (key, time).
        key: uint32[m], their keys.
        time_ns: int64[m], their times.
        superseded: rows that lost against another of the same key and time.
    """

    kept: IntArray
    key: IdArray
    time_ns: IntArray
    superseded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The rows of each window, as ranges of canonical rows; sorted by (key, window).

    Attributes:
        key: uint32[s], key ids.
        window: int64[s], window numbers; window w covers [w·slide, w·slide + width).
        lo: int64[s], first row.
        hi: int64[s], row behind the last. Ranges of sliding windows overlap.
    """

    key: IdArray
    window: IntArray
    lo: IntArray
    hi: IntArray

    def __len__(self) -> int:
        return len(self.key)


def canonical_order(
    *,
    key: IdArray,
    time_ns: IntArray,
    sequence: IntArray,
    payload: Sequence[FloatArray | IdArray],
) -> CanonicalOrder:
    """Sort rows by (key, time) and keep one of each.

    Of rows with equal key and time the one with the highest sequence stays; of those, the one
    whose payload is highest, column by column. Floats compare by total order: NaN lowest (all NaN
    are equal), then -inf … -0.0, 0.0 … inf.

    Args:
        key: uint32[n], key ids; cheapest when dense.
        time_ns: int64[n], event time.
        sequence: int64[n], the source's counter, -1 where there is none.
        payload: float64[n] or uint32[n] each; all that tells two rows apart.
    """
    key = np.ascontiguousarray(key, np.uint32)
    keys = int(key.max()) + 1 if len(key) else 0
    distinct: IdArray | None = None
    if keys > max(_FEW_KEYS, _SPARSE * len(key)):
        distinct, inverse = np.unique(key, return_inverse=True)
        key, keys = inverse.astype(np.uint32), len(distinct)
    n = len(key)
    kept_key, kept_time_ns = np.empty(n, np.uint32), np.empty(n, np.int64)
    kept, tied_row, tied_at = order_rows(
        key,
        np.ascontiguousarray(time_ns),
        np.ascontiguousarray(sequence),
        keys,
        np.empty(2 * n, np.int64),
        kept_key,
        kept_time_ns,
    )
    if len(tied_row):
        row, at = _highest_payload(tied_row, tied_at, payload)
        kept[at] = row
    kept_key = kept_key[: len(kept)]
    return CanonicalOrder(
        kept=kept,
        key=kept_key if distinct is None else distinct[kept_key],
        time_ns=kept_time_ns[: len(kept)],
        superseded=n - len(kept),
    )


def _highest_payload(
    row: IntArray, at: IntArray, payload: Sequence[FloatArray | IdArray]
) -> tuple[IntArray, IntArray]:
    """One row of each run of equal ``at``: the one with the highest payload."""
    for column in payload:
        start, length = _runs(at)
        if len(start) == len(at):
            break
        rank = total_order(column[row].astype(np.float64))
        is_highest = rank == np.repeat(np.maximum.reduceat(rank, start), length)
        row, at = row[is_highest], at[is_highest]
    start, _ = _runs(at)  # rows that are still tied are equal
    return row[start], at[start]


def _runs(value: IntArray) -> tuple[IntArray, IntArray]:
    """Start and length of each run of equal values."""
    start = np.flatnonzero(np.concatenate([[True], value[1:] != value[:-1]]))
    return start, np.diff(start, append=len(value))


def total_order(values: FloatArray) -> IntArray:
    """int64 ranks with the total order of the floats: NaN < -inf < … < -0.0 < 0.0 < … < inf.

    >>> total_order(np.array([0.0, -0.0, np.nan, -np.inf])).argsort().tolist()
    [2, 3, 1, 0]
    """
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    # Two's complement counts negative floats backwards; turning all bits but the sign mends it.
    rank: IntArray = bits ^ ((bits >> 63) & np.iinfo(np.int64).max)
    return np.where(np.isnan(values), np.iinfo(np.int64).min, rank)


def segments(*, key: IdArray, time_ns: IntArray, slide_ns: int, width_ns: int) -> Segments:
    """The non-empty windows of canonical rows.

    Windows are left-closed, right-open and aligned to 1970-01-01T00:00Z.

    Args:
        key: uint32[m], in canonical order.
        time_ns: int64[m], in canonical order.
        slide_ns: distance between window starts, > 0.
        width_ns: length of a window, a multiple of ``slide_ns``.

    Raises:
        UsageError: if the width is not a positive multiple of the slide.
    """
    if slide_ns <= 0 or width_ns <= 0 or width_ns % slide_ns:
        raise UsageError(
            expected="a window width that is a positive multiple of its slide",
            got=f"width {width_ns} ns, slide {slide_ns} ns",
            where="windows",
            action="change the width or the slide",
        )
    pane_key, pane, lo = kernels.pane_starts(
        np.ascontiguousarray(key), np.ascontiguousarray(time_ns), slide_ns
    )
    if slide_ns == width_ns:
        hi = np.append(lo[1:], len(key)) if len(lo) else lo
        return Segments(key=pane_key, window=pane, lo=lo, hi=hi)
    found = kernels.overlapping_windows(pane_key, pane, lo, len(key), width_ns // slide_ns)
    return Segments(key=found[0], window=found[1], lo=found[2], hi=found[3])


def is_statistic(name: str) -> bool:
    """Whether :func:`segment_statistics` knows ``name``.

    >>> is_statistic("p95"), is_statistic("below_-7.5"), is_statistic("mode")
    (True, True, False)
    """
    is_parametric = any(kind.fullmatch(name) for kind in (_QUANTILE, _BELOW))
    return name in PLAIN_STATISTICS or is_parametric


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Names of statistics, checked, and what has to be computed for them.

    Attributes:
        names: as asked for.
        has_moments: whether any is found in one pass over the values.
        has_changes: whether any needs the times of the values.
        quantiles: names of the quantiles, by probability.
        probability: float64[q], of the quantiles, ascending.
        limits: T of each ``below_T``, by its name.
    """

    names: tuple[str, ...]
    has_moments: bool
    has_changes: bool
    quantiles: tuple[str, ...]
    probability: FloatArray
    limits: Mapping[str, float]

    @classmethod
    def of(cls, names: Sequence[str]) -> Statistics:
        """Check ``names``; see :func:`segment_statistics` for those that there are.

        Raises:
            UsageError: for an unknown statistic.
        """
        for name in names:
            if not is_statistic(name):
                raise UsageError(
                    expected="a known statistic",
                    got=repr(name),
                    where="windows",
                    action=f"use one of {', '.join(PLAIN_STATISTICS)} or p00 to p99 or below_T",
                )
        limits = {n: float(found[1]) for n in names if (found := _BELOW.fullmatch(n))}
        by_probability = sorted((p, n) for n in set(names) if (p := _probability(n)) >= 0)
        return cls(
            names=tuple(names),
            has_moments=bool(limits) or any(n in _MOMENTS or n == "nan_share" for n in names),
            has_changes=any(n in _CHANGES for n in names),
            quantiles=tuple(n for _, n in by_probability),
            probability=np.array([p for p, _ in by_probability], np.float64),
            limits=limits,
        )


def segment_statistics(
    values: FloatArray,
    lo: IntArray,
    hi: IntArray,
    *,
    statistics: Sequence[str] | Statistics,
    time_ns: IntArray | None = None,
) -> dict[str, FloatArray]:
    """Statistics of each range of rows.

    All but ``nan_share`` are over the valid values (not NaN). Without any, ``count`` is 0 and the
    others NaN.

    ========== =====================================================================
    count      number of valid values
    mean       sum in row order / count, kept within min and max
    min, max   a zero is always positive
    std        population standard deviation, two passes
    first,last in time
    median     as ``p50``
    pNN        quantile, linear between ranks (Hyndman & Fan 1996, type 7)
    below_T    share of the valid values strictly below T (``below_5``, ``below_-7.5``): an
               outage rate; a value at T is none
    nan_share  invalid values / rows; NaN without rows
    stuck_s    longest run of equal valid values, from its first to its last sample, s
    rate_max   largest change between neighbouring valid values, per s; NaN below two
    ========== =====================================================================

    Args:
        values: float64[m], in canonical order.
        lo: int64[s], first row of each range.
        hi: int64[s], row behind the last.
        statistics: names from the table, or those names checked before.
        time_ns: int64[m], in canonical order; needed for ``stuck_s`` and ``rate_max``.

    Returns:
        float64[s] by name, in the order asked for.

    Raises:
        UsageError: for an unknown statistic, or one that lacks its times.
    """
    wanted = statistics if isinstance(statistics, Statistics) else Statistics.of(statistics)
    values = np.ascontiguousarray(values, np.float64)
    lo, hi = np.ascontiguousarray(lo, np.int64), np.ascontiguousarray(hi, np.int64)
    found: dict[str, FloatArray] = {}
    if wanted.has_moments:
        table = kernels.moments(values, lo, hi, "std" in wanted.names)
        found.update(zip(_MOMENTS, table, strict=True))
        if "nan_share" in wanted.names:
            rows = hi - lo
            invalid = np.full(len(lo), np.nan)
            np.divide(rows - found["count"], rows, out=invalid, where=rows > 0)
            found["nan_share"] = invalid
        for name, limit in wanted.limits.items():
            under = np.concatenate([[0], np.cumsum(values < limit)])
            share = np.full(len(lo), np.nan)
            np.divide(under[hi] - under[lo], found["count"], out=share, where=found["count"] > 0)
            found[name] = share
    if wanted.quantiles:
        table = kernels.quantiles(values, lo, hi, wanted.probability)
        found.update(zip(wanted.quantiles, table, strict=True))
    if wanted.has_changes:
        if time_ns is None:
            raise UsageError(
                expected="time_ns for statistics of time",
                got="none",
                where="segment_statistics",
                action="pass the event times of the rows",
            )
        table = kernels.changes(values, np.ascontiguousarray(time_ns), lo, hi)
        found.update(zip(_CHANGES, table, strict=True))
    return {name: found[name] for name in wanted.names}


def _probability(name: str) -> float:
    """The probability of a quantile's name, -1 for any other statistic."""
    if name == "median":
        return 0.5
    match = _QUANTILE.fullmatch(name)
    return int(match[1]) / 100 if match else -1.0


def row_statistics(
    time_ns: IntArray, sequence: IntArray, lo: IntArray, hi: IntArray
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts and extremes of the rows of each range, valid values or not.

    Args:
        time_ns: int64[m], in canonical order.
        sequence: int64[m], -1 where there is none.
        lo: int64[s], first row of each range.
        hi: int64[s], row behind the last.

    Returns:
        int64[s] each: ``rows``, ``first_ns``, ``last_ns``, ``sequence_min``, ``sequence_max`` and
        ``sequence_distinct``; -1 where there is no row, or no sequence number.
    """
    table = kernels.row_counts(
        np.ascontiguousarray(time_ns),
        np.ascontiguousarray(sequence),
        np.ascontiguousarray(lo, np.int64),
        np.ascontiguousarray(hi, np.int64),
    )
    return dict(zip(_ROW_COUNTS, table, strict=True))


def segment_expressions(
    frame: pl.DataFrame, found: Segments, expressions: Mapping[str, pl.Expr]
) -> dict[str, FloatArray]:
    """Aggregates that a user wrote as Polars expressions, per window.

    Args:
        frame: rows in canonical order.
        found: the windows, as ranges of those rows; they may overlap.
        expressions: by name; each must give one number (or null) per window.

    Returns:
        float64[s] by name; NaN for null, and for windows without rows.

    Raises:
        UsageError: if an expression does not give one number per window.
    """
    length = found.hi - found.lo
    columns = {name: np.full(len(found), np.nan) for name in expressions}
    if 0 < frame.height <= _EXPRESSION_ROWS and _is_partition(found, frame.height):
        _aggregate(frame, np.repeat(np.arange(len(found)), length), expressions, columns)
        return columns
    # Ranges that overlap are copied, a bounded number of rows at a time.
    chunk = np.concatenate([[0], np.cumsum(length)[:-1]]) // _EXPRESSION_ROWS
    for number in np.unique(chunk):
        at = np.flatnonzero((chunk == number) & (length > 0))
        if not len(at):
            continue
        size = length[at]
        row = np.arange(size.sum()) + np.repeat(found.lo[at] - (np.cumsum(size) - size), size)
        _aggregate(frame[row], np.repeat(at, size), expressions, columns)
    return columns


def _is_partition(found: Segments, rows: int) -> bool:
    """Whether the ranges follow each other and cover all rows, so that none has to be copied."""
    lo, hi = found.lo, found.hi
    return bool(len(lo) and lo[0] == 0 and hi[-1] == rows and (lo[1:] == hi[:-1]).all())


def _aggregate(
    frame: pl.DataFrame,
    segment: IntArray,
    expressions: Mapping[str, pl.Expr],
    columns: Mapping[str, FloatArray],
) -> None:
    """Evaluate ``expressions`` over the rows of each segment, into ``columns`` at its number."""
    by_segment = pl.Series("_segment", segment).set_sorted()
    table = frame.group_by(by_segment, maintain_order=True).agg(**expressions)
    at = table["_segment"].to_numpy()
    for name, column in columns.items():
        column[at] = _numbers(name, table[name])


def _numbers(name: str, result: pl.Series) -> FloatArray:
    if not (result.dtype.is_numeric() or result.dtype == pl.Boolean):
        raise UsageError(
            expected="one number per window",
            got=str(result.dtype),
            where=f"expression {name!r}",
            action="aggregate it, for example with .mean() or .max()",
        )
    numbers: FloatArray = result.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return numbers
