"""The whole pipeline, contract to ledger, on one core: rows per second and memory.

Ten thousand keys at 1 Hz in one zstd Parquet file; contract checks, event time, 5-minute windows
with count, mean and p95, an alarm on the mean, presence and silence, log with checkpoints, ledger.
The source is durable, so the log holds references with digests instead of a second copy.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from sightline.runtime import Pipeline, RunDirectory, RunOptions, make_plan, run_pipeline
from sightline.runtime.engine.ray_workers import RayCluster
from sightline.sense import open_source
from sightline.sense.contract import parse_contract

_KEYS = 10_000
_START_S = 1_767_225_600
_ROW_GROUP = 1 << 18

CONTRACT: dict[str, Any] = {
    "contract": "bench",
    "key": ["sensor"],
    "group": None,
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "sequence": {"column": "sequence"},
    "fields": {"value": {"type": "number", "unit": "1", "range": [-1e6, 1e6]}},
    "timing": {"out_of_order_s": 5, "revision_allowance_s": 300, "max_backlog_s": 86400},
    "silence": {"timeout_s": 60},
}
PIPELINE: dict[str, Any] = {
    "pipeline": "bench",
    "partitions": 1,
    "tick_s": 60,
    "idle_s": 120,
    "sources": {"telemetry": {"contract": "bench", "record": "reference"}},
    "stages": {
        "level": {
            "use": "windows",
            "input": "telemetry",
            "width_s": 300,
            "statistics": ["count", "mean", "p95"],
        },
        "presence": {"use": "presence", "input": "telemetry", "width_s": 60},
        "high": {
            "use": "alarm",
            "input": "level",
            "measure": "value.mean",
            "unit": "1",
            "raise_above": 3.0,
            "clear_below": 2.0,
            "code": "HIGH",
        },
        "silent": {"use": "silence", "input": "presence", "code": "SILENT"},
    },
}


def bench_pipeline(*, rows: int = 6_000_000) -> dict[str, object]:
    """Time the whole pipeline over ``rows`` rows in a process of its own, pinned to one core."""
    environment = {
        **os.environ,
        "POLARS_MAX_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ARROW_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline", str(rows)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    if done.returncode:
        return {"error": done.stderr.strip()[-2000:]}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _write(path: Path, rows: int, rng: np.random.Generator) -> int:
    """Write the input: time-interleaved keys, 1 % duplicates with a higher sequence; the rows."""
    seconds = max(rows // _KEYS, 1)
    writer: pq.ParquetWriter | None = None
    written = 0
    batch = max(_ROW_GROUP // _KEYS, 1)
    for first in range(0, seconds, batch):
        span = np.arange(first, min(first + batch, seconds))
        second = np.repeat(span, _KEYS)
        sensor = np.tile(np.arange(_KEYS, dtype=np.int32), len(span))
        again = rng.random(len(second)) < 0.01
        frame = pl.DataFrame(
            {
                "sensor": np.concatenate([sensor, sensor[again]]),
                "time_ns": np.concatenate([second, second[again]]) * 1_000_000_000
                + _START_S * 1_000_000_000,
                "sequence": np.concatenate([second * 2, second[again] * 2 + 1]),
                "value": rng.normal(size=len(second) + int(again.sum())),
            }
        ).sort("time_ns", maintain_order=True)
        table = frame.to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
        written += frame.height
    assert writer is not None
    writer.close()
    return written


def _once(rows: int) -> dict[str, object]:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    plan = make_plan(
        Pipeline.model_validate(PIPELINE), {"telemetry": parse_contract(CONTRACT, where="bench")}
    )
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        path = Path(folder) / "telemetry.parquet"
        small = Path(folder) / "small.parquet"
        _write(small, 20 * _KEYS, np.random.default_rng(0))
        written = _write(path, rows, np.random.default_rng(1))
        _run(plan, small, Path(folder) / "warm")  # compiles and caches the kernels
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started_s = time.perf_counter()
        for _ in range(2):  # reading alone, the second time from a warm cache
            started_s = time.perf_counter()
            for group in range(pq.ParquetFile(path).num_row_groups):
                pq.ParquetFile(path).read_row_group(group, use_threads=False)
            read_s = time.perf_counter() - started_s
        report, wall_s = _run(plan, path, Path(folder) / "run")
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        decisions = len(RunDirectory.open(Path(folder) / "run").decisions())
        accounts = report["accounts"]
        assert isinstance(accounts, dict)
        return {
            "rows": written,
            "wall_s": round(wall_s, 3),
            "rows_per_s": round(written / wall_s),
            "read_only_s": round(read_s, 3),
            "ratio_to_reading": round(wall_s / read_s, 2),
            "balanced": accounts["balanced"],
            "superseded": accounts["superseded"],
            "decisions": decisions,
            "memory_before_mb": round(before_mb),
            "memory_peak_mb": round(peak_mb),
            "step_s": report["step_s"],
        }


def bench_ray(*, rows: int) -> dict[str, object]:
    """The same run on two workers of this machine and on two actors of Ray, in turn, twice.

    What Ray takes besides is told per million rows, from the quicker run of each; joining or
    starting the cluster is told apart.
    """
    form = Pipeline.model_validate({**PIPELINE, "partitions": 4})
    plan = make_plan(form, {"telemetry": parse_contract(CONTRACT, where="bench")})
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        path = Path(folder) / "telemetry.parquet"
        written = _write(path, rows, np.random.default_rng(1))
        started_s = time.perf_counter()
        RayCluster.joined()
        join_s = time.perf_counter() - started_s
        walls: dict[str, list[float]] = {"processes": [], "ray": []}
        digests = set()
        for turn in range(2):
            for where, times_s in walls.items():
                options = RunOptions(workers=2, on="ray" if where == "ray" else "processes")
                report, wall_s = _run(plan, path, Path(folder) / f"{where}{turn}", options)
                times_s.append(wall_s)
                digests.add(report["digest"])
    local_s, ray_s = min(walls["processes"]), min(walls["ray"])
    return {
        "rows": written,
        "join_s": round(join_s, 2),
        "on_processes_s": round(local_s, 2),
        "on_ray_s": round(ray_s, 2),
        "overhead_s_per_million_rows": round((ray_s - local_s) / written * 1e6, 3),
        "equal_digests": len(digests) == 1,
    }


def _run(
    plan: Any, path: Path, out: Path, options: RunOptions | None = None
) -> tuple[dict[str, Any], float]:
    source = open_source("telemetry", str(path), plan.contracts["telemetry"])
    started_s = time.perf_counter()
    report = run_pipeline(plan, {"telemetry": source}, out, options=options or RunOptions())
    return report.as_mapping(), time.perf_counter() - started_s


if __name__ == "__main__":
    json.dump(_once(int(sys.argv[1])), sys.stdout)
