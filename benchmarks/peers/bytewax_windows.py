"""Bytewax: event-time clock, tumbling windows, rows collected and summed up at the close."""

from __future__ import annotations

import importlib.metadata
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import bytewax.operators as op  # type: ignore[import-not-found]
from bytewax.dataflow import Dataflow  # type: ignore[import-not-found]
from bytewax.inputs import DynamicSource, StatelessSourcePartition  # type: ignore[import-not-found]
from bytewax.operators.windowing import (  # type: ignore[import-not-found]
    EventClock,
    TumblingWindower,
    collect_window,
)
from bytewax.testing import TestingSink, run_main  # type: ignore[import-not-found]

from .collected import OUT_OF_ORDER_S, WIDTH_S, Result, read_rows, report, window_result

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH_ROWS = 10_000


class _Rows(StatelessSourcePartition):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        self._rows = ((str(key), sample) for key, *sample in read_rows(path))

    def next_batch(self) -> list[Any]:
        batch = list(islice(self._rows, _BATCH_ROWS))
        if not batch:
            raise StopIteration
        return batch


class _File(DynamicSource):  # type: ignore[misc]
    def __init__(self, path: Path) -> None:
        self._path = path

    def build(self, _step_id: str, _worker_index: int, _worker_count: int) -> _Rows:
        return _Rows(self._path)


def _time_of(sample: list[Any]) -> datetime:
    return _EPOCH + timedelta(microseconds=sample[0] // 1000)


def main(source: Path, output: Path) -> None:
    closed: list[tuple[str, tuple[int, list[Any]]]] = []
    flow = Dataflow("windows")
    rows = op.input("rows", flow, _File(source))
    windows = collect_window(
        "collect",
        rows,
        # Time stands still here: Bytewax adds the time that has passed on the wall clock to its
        # watermark, so that a run slower than the data would call punctual rows late.
        EventClock(
            ts_getter=_time_of,
            wait_for_system_duration=timedelta(seconds=OUT_OF_ORDER_S),
            now_getter=lambda: _EPOCH,
            to_system_utc=lambda _: None,
        ),
        TumblingWindower(length=timedelta(seconds=WIDTH_S), align_to=_EPOCH),
        ordered=False,
    )
    op.output("closed", windows.down, TestingSink(closed))
    late: list[Any] = []
    op.output("late", windows.late, TestingSink(late))
    start_s = time.perf_counter()
    run_main(flow)
    results: list[Result] = [window_result(int(k), samples) for k, (_, samples) in closed]
    seconds = time.perf_counter() - start_s
    report(
        results,
        output,
        seconds=seconds,
        late_rows=len(late),
        version=importlib.metadata.version("bytewax"),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
