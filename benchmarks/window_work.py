"""One measurement of the window benchmark, in a process pinned to one core.

``python -m benchmarks.window_work <name> <json arguments>`` prints one JSON object. The
parent (:mod:`.windows`) sets the thread counts in the environment before this process starts.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.window_data import (
    OUT_OF_ORDER_NS,
    WIDTH_NS,
    Telemetry,
    batch_of,
    read_batches,
)
from sightline.errors import InvariantViolation
from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.canonical_order import canonical_order
from sightline.perceive.row_store import Rows, RowStore, take_rows
from sightline.perceive.windows import segment_statistics, segments
from sightline.records.windows import FloatArray, IdArray, IntArray

STATISTICS = ("count", "mean", "p95")
_POLARS_REPETITIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Closed windows, and where their rows went."""

    key: IdArray
    window: IntArray
    statistics: Mapping[str, FloatArray]
    received: int
    decided: int
    superseded: int

    def check(self) -> None:
        """Every row received was decided or superseded, and counted in one window."""
        counted = int(self.statistics["count"].sum())
        if self.received != self.decided + self.superseded or counted != self.decided:
            raise InvariantViolation(
                expected=f"{self.received} rows accounted for",
                got=f"{self.decided} decided ({counted} counted) and {self.superseded} superseded",
                where="window benchmark",
                action="this is a defect of Sightline: report it with the arguments of the run",
            )

    def table(self) -> pl.DataFrame:
        """Columns key, window and statistics, sorted by key and window."""
        return pl.DataFrame({"key": self.key, "window": self.window, **self.statistics}).sort(
            "key", "window"
        )


def deferred_windows(batches: Iterable[Rows], *, keys: int) -> Windows:
    """Append batches; when the watermark passes a window, order it, drop duplicates and sum up."""
    store = RowStore(WIDTH_NS)
    tables: list[tuple[IdArray, IntArray, dict[str, FloatArray]]] = []
    received = decided = superseded = 0
    newest_ns, following = 0, -1

    def close(pane: int) -> None:
        nonlocal decided, superseded
        rows = store.gather(first_pane=pane, last_pane=pane, keys=None)
        if rows is not None:
            tables.append(_summed_up(rows.key, rows.time_ns, rows.values["value"]))
        settled = store.settle(settled_pane=np.full(keys, pane + 1, np.int64))
        decided += settled.decided
        superseded += settled.superseded

    for batch in batches:
        store.append(batch)
        received += len(batch)
        newest_ns = max(newest_ns, int(batch.time_ns.max()))
        if following < 0:
            following = int(batch.time_ns.min()) // WIDTH_NS
        while (following + 1) * WIDTH_NS <= newest_ns - OUT_OF_ORDER_NS:
            close(following)
            following += 1
    while len(store):
        close(following)
        following += 1
    return Windows(
        key=np.concatenate([t[0] for t in tables]),
        window=np.concatenate([t[1] for t in tables]),
        statistics={n: np.concatenate([t[2][n] for t in tables]) for n in STATISTICS},
        received=received,
        decided=decided,
        superseded=superseded,
    )


def _summed_up(
    key: IdArray, time_ns: IntArray, value: FloatArray
) -> tuple[IdArray, IntArray, dict[str, FloatArray]]:
    found = segments(key=key, time_ns=time_ns, slide_ns=WIDTH_NS, width_ns=WIDTH_NS)
    statistics = segment_statistics(value, found.lo, found.hi, statistics=STATISTICS)
    return found.key, found.window, statistics


def polars_windows(path: Path) -> pl.DataFrame:
    """The same work in Polars' in-memory engine."""
    rows = pl.read_parquet(path)
    return (
        rows.sort("key", "time_ns", "sequence")
        .unique(["key", "time_ns"], keep="last", maintain_order=True)
        .group_by("key", pl.col("time_ns").floordiv(WIDTH_NS).alias("window"))
        .agg(
            count=pl.len(),
            mean=pl.col("value").mean(),
            p95=pl.col("value").quantile(0.95, "linear"),
        )
        .sort("key", "window")
    )


def largest_difference(ours: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, float]:
    """How far two results lie apart: windows and counts missing, p95 and mean relative."""
    both = ours.join(theirs.cast({"key": pl.UInt32}), on=["key", "window"], how="full")
    relative = {
        name: ((pl.col(name) - pl.col(f"{name}_right")) / pl.col(name)).abs().max()
        for name in ("p95", "mean")
    }
    counts = pl.col("count").cast(pl.Int64).ne_missing(pl.col("count_right").cast(pl.Int64)).sum()
    return {k: float(v) for k, v in both.select(counts, **relative).row(0, named=True).items()}


# --- measurements -----------------------------------------------------------------------------


def generate(path: str, keys: int, seconds: int) -> dict[str, Any]:
    """Write the data; returns its size."""
    telemetry = Telemetry(keys=keys, seconds=seconds)
    telemetry.write(Path(path))
    return {"rows": telemetry.rows, "duplicates": telemetry.duplicates}


def speed(path: str, keys: int, repetitions: int) -> dict[str, Any]:
    """Seconds of reading, of reading with windows, and of Polars, alternated; results compared."""
    file = Path(path)
    ours = deferred_windows(
        read_batches(file), keys=keys
    )  # also compiles, and fills the file cache
    ours.check()
    read_s, windows_s, polars_s = [], [], []
    for number in range(repetitions):
        read_s.append(_seconds(lambda: sum(len(batch) for batch in read_batches(file))))
        windows_s.append(_seconds(lambda: deferred_windows(read_batches(file), keys=keys)))
        if number < _POLARS_REPETITIONS:
            polars_s.append(_seconds(lambda: polars_windows(file)))
    return {
        "rows": ours.received,
        "superseded": ours.superseded,
        "windows": len(ours.key),
        "read_s": read_s,
        "windows_s": windows_s,
        "polars_s": polars_s,
        "polars_difference": largest_difference(ours.table(), polars_windows(file)),
    }


def kernel(keys: int, repetitions: int) -> dict[str, Any]:
    """Seconds of the kernels alone on one full window in memory."""
    telemetry = Telemetry(keys=keys, seconds=WIDTH_NS // 1_000_000_000)
    table = telemetry.generate()
    ids, time_ns, sequence, value = (column.to_numpy() for column in table.columns)

    def work() -> None:
        order = canonical_order(
            key=ids.view(np.uint32), time_ns=time_ns, sequence=sequence, payload=(value,)
        )
        _summed_up(order.key, order.time_ns, take_rows(value, order.kept))

    work()
    return {"rows": telemetry.rows, "seconds": [_seconds(work) for _ in range(repetitions)]}


def memory(rows: int, keys: int) -> dict[str, Any]:
    """Bytes per open row: held, and at the peak while the window closes."""
    few = Telemetry(keys=10, seconds=1).generate()
    deferred_windows([batch_of(few)], keys=keys)  # code and caches are not the rows' fault
    rng = np.random.default_rng(1)
    before = _peak_bytes()
    store = RowStore(WIDTH_NS)
    step_ns = max(WIDTH_NS * keys // rows, 1)
    chunk = DEFAULT_LIMITS.chunk_rows // 4
    for start in range(0, rows, chunk):
        row = np.arange(start, min(start + chunk, rows))
        store.append(
            Rows(
                key=(row % keys).astype(np.uint32),
                group=np.zeros(len(row), np.uint32),
                time_ns=row // keys * step_ns,
                sequence=row,
                values={"value": rng.normal(size=len(row))},
            )
        )
    held = _peak_bytes() - before
    gathered = store.gather(first_pane=0, last_pane=0, keys=None)
    assert gathered is not None
    _summed_up(gathered.key, gathered.time_ns, gathered.values["value"])
    return {
        "rows": rows,
        "held_bytes_per_row": held / rows,
        "peak_bytes_per_row": (_peak_bytes() - before) / rows,
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _seconds(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s


MEASUREMENTS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "generate": generate,
    "speed": speed,
    "kernel": kernel,
    "memory": memory,
}


def main(name: str, arguments: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    sys.stdout.write(json.dumps(MEASUREMENTS[name](**json.loads(arguments))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
