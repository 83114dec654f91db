from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.window_data import WIDTH_NS, Telemetry, batch_of, read_batches
from benchmarks.window_work import (
    Windows,
    deferred_windows,
    largest_difference,
    polars_windows,
)
from benchmarks.windows import bench_windows
from sightline.errors import InvariantViolation, UsageError

SMALL = Telemetry(keys=7, seconds=610)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SMALL.write(tmp_path / "telemetry.parquet")
    return tmp_path / "telemetry.parquet"


def _windows(path: Path) -> Windows:
    return deferred_windows(read_batches(path), keys=SMALL.keys)


def test_telemetry_is_the_same_every_time() -> None:
    assert SMALL.generate().equals(SMALL.generate())


def test_telemetry_has_the_duplicates_it_says() -> None:
    rows = pl.DataFrame(SMALL.generate())
    assert rows.height == SMALL.rows
    assert rows.height - rows.unique(["key", "time_ns"]).height == SMALL.duplicates > 0


def test_every_row_is_decided_or_superseded(path: Path) -> None:
    found = _windows(path)
    found.check()
    assert found.received == SMALL.rows
    assert found.superseded == SMALL.duplicates
    assert len(found.key) == 3 * SMALL.keys


def test_a_lost_row_is_a_defect(path: Path) -> None:
    found = _windows(path)
    short = Windows(
        key=found.key,
        window=found.window,
        statistics=found.statistics,
        received=found.received + 1,
        decided=found.decided,
        superseded=found.superseded,
    )
    with pytest.raises(InvariantViolation, match="rows accounted for"):
        short.check()


def test_ours_and_polars_agree(path: Path) -> None:
    difference = largest_difference(_windows(path).table(), polars_windows(path))
    assert difference["count"] == difference["p95"] == 0
    assert difference["mean"] < 1e-12


def test_a_missing_window_and_a_wrong_number_show_as_a_difference(path: Path) -> None:
    ours, theirs = _windows(path).table(), polars_windows(path)
    assert largest_difference(ours, theirs.head(-1))["count"] == 1
    assert largest_difference(ours, theirs.with_columns(pl.col("p95") * 2))["p95"] > 0


def test_batches_cannot_show_in_the_result(path: Path) -> None:
    table = SMALL.generate()
    cuts = range(0, SMALL.rows, 100)
    many = deferred_windows(
        (batch_of(table.slice(start, 100).combine_chunks()) for start in cuts), keys=SMALL.keys
    )
    assert many.table().equals(_windows(path).table())
    assert (many.window * WIDTH_NS % WIDTH_NS == 0).all()
    assert np.isfinite(many.statistics["mean"]).all()


def test_less_than_one_window_is_refused() -> None:
    with pytest.raises(UsageError, match="5 minutes"):
        bench_windows(minutes=4)


@pytest.mark.slow
def test_the_whole_benchmark_runs_and_says_why_peers_are_missing(tmp_path: Path) -> None:
    said: list[str] = []
    result = bench_windows(
        keys=20,
        minutes=10,
        peers=True,
        peer_python=tmp_path / "none",
        open_rows=(10_000,),
        progress=said.append,
    )
    assert result["rows"] == Telemetry(keys=20, seconds=600).rows
    assert result["lost_rows"] == 0
    assert result["polars"]["is_equal"]
    assert "make peers" in result["peers"]["bytewax"]["skipped"]
    assert "is_within_peer_bound" not in result["peers"]
    assert said
