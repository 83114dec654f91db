"""The KPI job over many rows on disk: CPU time of a first run and of a rerun, peak memory.

Each run is a process of its own, so that its peak of memory is its own and caches of Python do not
help it. The files are of one day each, in order of time, 1,000 terminals in turn; zstd.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

TERMINALS = 1_000
_DAY_S = 86_400
_FIRST_DAY = 20_454  # 2026-01-01
_CONTRACT = """contract: telemetry
key: [terminal]
event_time: {column: time, format: unix_ns}
fields:
  snr_db: {type: number, unit: dB, range: [-20, 60]}
  lost: {type: number, unit: "1"}
"""
_METRICS = """kpis: link
contract: contract.yaml
metrics:
  snr_median: {version: 1, unit: dB, field: snr_db, statistic: median}
  outage: {version: 1, unit: "1", field: snr_db, statistic: below_5}
  lost: {version: 1, unit: "1", sql: "sum(lost)"}
  snr_trend:
    version: 1
    unit: dB
    smooth: {of: snr_median, half_life_windows: 2, warm_up_windows: 5}
"""
_RUN = """
import sys
from pathlib import Path
from sightline.act.kpi_ledger import KpiLedger
from sightline.runtime.kpis.form import load_kpis
from sightline.runtime.kpis.job import run_kpis
from sightline.sense.objects import open_folder
folder = Path(sys.argv[1])
with KpiLedger.open(f"sqlite:///{folder / 'kpis.sqlite'}") as ledger:
    report = run_kpis(load_kpis(folder / "metrics.yaml"), open_folder(str(folder / "in")), ledger)
print(report.rows, len(report.done))
"""


def bench_kpi(
    *, rows: int, days: int, folder: Path | None, progress: Callable[[str], None]
) -> dict[str, Any]:
    """A first run, a rerun, and a run after one late file, each as its own process."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        work = Path(made)
        (work / "in").mkdir()
        (work / "contract.yaml").write_text(_CONTRACT, encoding="utf-8")
        (work / "metrics.yaml").write_text(_METRICS, encoding="utf-8")
        rng = np.random.default_rng(0)
        for day in range(days):
            progress(f"writes day {day + 1} of {days}")
            _write(work / "in" / f"day{day:04d}.parquet", day, rows // days, rng)
        size = sum(path.stat().st_size for path in (work / "in").iterdir())
        progress("first run")
        first = _measured(work)
        progress("rerun")
        again = _measured(work)
        _write(work / "in" / "late.parquet", days // 2, max(rows // days // 100, 1_000), rng)
        progress("after a late file of one day")
        late = _measured(work)
    return {
        "rows": rows,
        "days": days,
        "million_bytes_on_disk": round(size / 1e6, 1),
        "first": first,
        "rerun": again,
        "rerun_percent_of_first": round(100 * again["cpu_s"] / first["cpu_s"], 2),
        "late_file": late,
        "million_rows_per_cpu_s": round(rows / first["cpu_s"] / 1e6, 2),
    }


def _write(path: Path, day: int, rows: int, rng: np.random.Generator) -> None:
    at_s = (_FIRST_DAY + day) * _DAY_S + np.sort(rng.random(rows)) * _DAY_S
    pl.DataFrame(
        {
            "terminal": pl.Series([f"t{i:04d}" for i in range(TERMINALS)]).gather(
                np.arange(rows) % TERMINALS
            ),
            "time": (at_s * 1e9).astype(np.int64),
            "snr_db": rng.normal(10, 3, rows).round(2),
            "lost": rng.integers(0, 3, rows).astype(np.float64),
        }
    ).write_parquet(path, compression="zstd", row_group_size=1 << 20)


def _measured(work: Path) -> dict[str, Any]:
    limits = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    started_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(work)],
        env={**os.environ, **limits},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, "the KPI job")
    read, computed = map(int, said.split())
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "wall_s": round(time.monotonic() - started_s, 2),
        "peak_gb": round(used.ru_maxrss * 1024 / 1e9, 2),
        "rows_read": read,
        "windows_computed": computed,
    }
