"""What the window kernels compute, written to be read: the specification, slow and plain.

Same names, arguments and results as :mod:`.windows`. The tests demand equality to the bit, for
mean and standard deviation too: sums run in row order on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from sightline.perceive.canonical_order import CanonicalOrder, total_order
from sightline.perceive.windows import Segments
from sightline.records.windows import FloatArray, IdArray, IntArray


def canonical_order(
    *, key: IdArray, time_ns: IntArray, sequence: IntArray, payload: Sequence[FloatArray]
) -> CanonicalOrder:
    """Sort by (key, time); of equal ones keep the highest sequence, then the highest payload."""
    ranks = {f"rank_{i}": total_order(column) for i, column in enumerate(payload)}
    best_first = (
        pl.DataFrame({"key": key, "time_ns": time_ns, "sequence": sequence, **ranks})
        .with_row_index("row")
        .sort(
            ["key", "time_ns", "sequence", *ranks, "row"],
            descending=[False, False, True, *(True for _ in ranks), False],
        )
    )
    kept = best_first.unique(["key", "time_ns"], keep="first", maintain_order=True)
    return CanonicalOrder(
        kept=kept["row"].to_numpy().astype(np.int64),
        key=kept["key"].to_numpy(),
        time_ns=kept["time_ns"].to_numpy(),
        superseded=len(key) - kept.height,
    )


def segments(*, key: IdArray, time_ns: IntArray, slide_ns: int, width_ns: int) -> Segments:
    """Every window that holds a row, by (key, window), as a range of rows."""
    found: dict[tuple[int, int], list[int]] = {}
    for row, (k, t) in enumerate(zip(key.tolist(), time_ns.tolist(), strict=True)):
        newest = t // slide_ns
        for window in range(newest - width_ns // slide_ns + 1, newest + 1):
            found.setdefault((k, window), []).append(row)
    names = sorted(found)
    return Segments(
        key=np.array([k for k, _ in names], np.uint32),
        window=np.array([w for _, w in names], np.int64),
        lo=np.array([found[name][0] for name in names], np.int64),
        hi=np.array([found[name][-1] + 1 for name in names], np.int64),
    )


def segment_statistics(
    values: FloatArray,
    lo: IntArray,
    hi: IntArray,
    *,
    statistics: Sequence[str],
    time_ns: IntArray | None = None,
) -> dict[str, FloatArray]:
    """Each statistic of each range of rows."""
    return {
        name: np.array(
            [
                statistic(name, values[a:b], None if time_ns is None else time_ns[a:b])
                for a, b in zip(lo.tolist(), hi.tolist(), strict=True)
            ],
            np.float64,
        )
        for name in statistics
    }


def statistic(name: str, values: FloatArray, time_ns: IntArray | None) -> float:  # noqa: PLR0911
    """One statistic of the rows of one window."""
    is_valid = ~np.isnan(values)
    valid = values[is_valid]
    if name == "count":
        return len(valid)
    if name == "nan_share":
        return (len(values) - len(valid)) / len(values) if len(values) else np.nan
    if not len(valid):
        return np.nan
    match name:
        case "first":
            return float(valid[0])
        case "last":
            return float(valid[-1])
        case "min":
            return float(valid.min() + 0.0)  # + 0.0: a zero is positive
        case "max":
            return float(valid.max() + 0.0)
        case "mean":
            return _mean(valid)
        case "std":
            distance = valid - _mean(valid)
            return float(np.sqrt(_sum(distance * distance) / len(valid)))
        case "median":
            return _quantile(valid, 0.5)
        case "stuck_s" | "rate_max":
            assert time_ns is not None
            times = time_ns[is_valid]
            return _stuck_s(valid, times) if name == "stuck_s" else _rate_max(valid, times)
        case _:
            return _quantile(valid, int(name[1:]) / 100)


def _sum(values: FloatArray) -> float:
    # `cumsum` adds in order; `sum` adds pairwise, in an order that depends on the length.
    return float(np.cumsum(values)[-1]) + 0.0


def _mean(valid: FloatArray) -> float:
    low, high = float(valid.min() + 0.0), float(valid.max() + 0.0)
    return min(max(_sum(valid) / len(valid), low), high)


def _quantile(valid: FloatArray, probability: float) -> float:
    """Type 7 of Hyndman & Fan (1996), as `np.quantile`, which gives NaN between infinities."""
    ascending = np.sort(valid + 0.0)
    at = (len(valid) - 1) * probability
    rank = int(at)
    below = float(ascending[rank])
    above = float(ascending[min(rank + 1, len(valid) - 1)])
    weight = at - rank
    if below == above or weight == 0:
        return below
    step = above - below
    return above - step * (1 - weight) if weight >= 0.5 else below + step * weight


def _stuck_s(valid: FloatArray, times_ns: IntArray) -> float:
    change = np.flatnonzero(valid[1:] != valid[:-1]) + 1
    first = np.concatenate([[0], change])
    last = np.concatenate([change - 1, [len(valid) - 1]])
    return float((times_ns[last] - times_ns[first]).max() / 1e9)


def _rate_max(valid: FloatArray, times_ns: IntArray) -> float:
    if len(valid) < 2:
        return np.nan
    rates = np.abs(np.diff(valid)) / (np.diff(times_ns) / 1e9)
    return float(np.fmax.reduce(rates))  # leaves out the NaN between two infinities


def row_statistics(
    time_ns: IntArray, sequence: IntArray, lo: IntArray, hi: IntArray
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts and extremes of the rows of each range; -1 where there is nothing."""
    found = []
    for a, b in zip(lo.tolist(), hi.tolist(), strict=True):
        known = np.unique(sequence[a:b][sequence[a:b] >= 0])
        found.append(
            {
                "rows": b - a,
                "first_ns": time_ns[a] if b > a else -1,
                "last_ns": time_ns[b - 1] if b > a else -1,
                "sequence_min": known[0] if len(known) else -1,
                "sequence_max": known[-1] if len(known) else -1,
                "sequence_distinct": len(known) if len(known) else -1,
            }
        )
    names = (
        "rows",
        "first_ns",
        "last_ns",
        "sequence_min",
        "sequence_max",
        "sequence_distinct",
    )
    return {name: np.array([row[name] for row in found], np.int64) for name in names}
