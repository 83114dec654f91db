"""What every peer does with the rows of a closed window, and how it reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WIDTH_S = 300
OUT_OF_ORDER_S = 10
NS_PER_S = 1_000_000_000

Sample = tuple[int, int, float]
"""Time in ns, sequence, value."""
Result = tuple[int, int, int, float, float]
"""Key, window, count, mean, p95."""


def read_rows(path: Path) -> Iterator[tuple[int, int, int, float]]:
    """Rows (key, time in ns, sequence, value) as Python objects, a row group at a time."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, use_threads=False)
            yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def window_result(key: int, samples: Iterable[Sample]) -> Result:
    """Drop duplicates (highest sequence, then highest value), then count, mean and p95."""
    best: dict[int, tuple[int, float]] = {}
    for time_ns, sequence, value in samples:
        known = best.get(time_ns)
        if known is None or (sequence, value) > known:
            best[time_ns] = (sequence, value)
    ascending = sorted(value for _, value in best.values())
    at = (len(ascending) - 1) * 0.95
    rank = int(at)
    below, above = ascending[rank], ascending[min(rank + 1, len(ascending) - 1)]
    weight = at - rank
    step = above - below
    p95 = above - step * (1 - weight) if weight >= 0.5 else below + step * weight
    window = next(iter(best)) // (WIDTH_S * NS_PER_S)
    return key, window, len(ascending), sum(ascending) / len(ascending), p95


def report(results: list[Result], path: Path, **facts: object) -> None:
    """Write the results to ``path`` and the facts to standard output as JSON."""
    names = ("key", "window", "count", "mean", "p95")
    columns = list(zip(*results, strict=True))
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
    sys.stdout.write(json.dumps(facts) + "\n")
