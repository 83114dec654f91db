"""An hour of a constellation, and a week of a small one: lag, share of each stage, memory.

A thousand satellites send fifty channels at 1 Hz. Packets come late, twice or never; windows of
one second wait for ``out_of_order_s``; each of the 50,000 series has a detector of its own that
learns (``novelty``), and alarms follow at m of n. The run goes as fast as it can. How late an alert
would have been had the packets come at their own speed follows from that exactly: the work of a
tick begins when the tick has come *and* the work before it is done, ::

    done[k] = max(tick[k], done[k - 1]) + work[k]

so a tick that takes too long delays those after it, as it would.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.constellation_packets import (
    DAY_S,
    HOUR_S,
    constellation_scene,
    write_packets,
)
from sightline.apps.gateway.telemetry_scene import TelemetryScene
from sightline.apps.gateway.telemetry_scene.scene import START_2026_NS
from sightline.errors import UsageError
from sightline.limits import DEFAULT_LIMITS
from sightline.records.signals import NS_PER_S
from sightline.runtime import Pipeline, Plan, RunOptions, make_plan, run_pipeline
from sightline.runtime.run_options import Progress
from sightline.sense import open_source
from sightline.sense.contract import parse_contract

OUT_OF_ORDER_S = 20.0
REVISION_ALLOWANCE_S = 60.0
TICK_S = 5.0
_LONG_TICK_S = 60.0
LEARN_DAYS = 3
"""Of the stage ``expectation``: the fewest that it learns from."""
ASKED_SAMPLES = 1000 * 50 * 5
"""A second: of 1,000 satellites with 50 channels at 1 Hz, five times as fast as real time."""
_WARM_S = 900


_EXPECTED: dict[str, dict[str, object]] = {
    "unexpected": {
        "use": "expectation",
        "input": "seconds",
        "measures": ["*.mean"],
        "learn_days": LEARN_DAYS,
        # Not all satellites learn at one tick: within an hour.
        "spread_windows": 360,
        "code": "UNEXPECTED_VALUE",
    }
}


def _novelty(learn_windows: int, memory_size: int) -> dict[str, dict[str, object]]:
    return {
        "unlike": {
            "use": "novelty",
            "input": "seconds",
            "measures": ["*.mean"],
            "learn_windows": learn_windows,
            "spread_windows": learn_windows // 2,
            "memory_size": memory_size,
        },
        "unusual": {
            "use": "alarm",
            "input": "unlike",
            "measure": "*",
            "unit": "1",
            "raise_above": 8,
            "clear_below": 3,
            "m": 5,
            "n": 8,
            "code": "UNLIKE_PAST",
        },
    }


def constellation_pipeline(
    *,
    partitions: int,
    learn_windows: int,
    memory_size: int,
    period_s: float,
    tick_s: float,
    expectation: bool = False,
) -> Pipeline:
    """A window for each sample, what decides about every channel, silence.

    What decides is novelty with alarms at 5 of 8, or the stage ``expectation``.
    """
    decides = _EXPECTED if expectation else _novelty(learn_windows, memory_size)
    return Pipeline.model_validate(
        {
            "pipeline": "constellation",
            "partitions": partitions,
            "tick_s": tick_s,
            "idle_s": max(60.0, 6 * period_s),
            "latency_budget_s": 45,
            "sources": {"telemetry": {"contract": "scene", "record": "reference"}},
            "stages": {
                "seconds": {
                    "use": "windows",
                    "input": "telemetry",
                    "width_s": period_s,
                    "statistics": ["mean"],
                },
                **decides,
                "presence": {
                    "use": "presence",
                    "input": "telemetry",
                    "width_s": max(5.0, period_s),
                },
                "silent": {"use": "silence", "input": "presence", "code": "SILENT"},
            },
        }
    )


def bench_constellation(
    *,
    satellites: int = 1000,
    channels: int = 50,
    duration_s: int = HOUR_S,
    workers: int = 2,
    learn_windows: int = 750,
    memory_size: int = 64,
    days: int = 0,
    period_s: float = 1.0,
    expectation: bool = False,
) -> dict[str, object]:
    """Time a run in a process of its own.

    Args:
        satellites: 1 or more.
        channels: of each.
        duration_s: seconds of event time, up to an hour; of no meaning with ``days``.
        workers: processes that host the partitions; 0, as with ``days``: one for everything.
        learn_windows: see ``novelty``.
        memory_size: see ``novelty``.
        days: if not 0, so many whole days in ticks of a minute, and memory by day.
        period_s: between two packets of a satellite.
        expectation: the stage that learns what a channel should read, instead of novelty. It
            learns from whole days: ``days`` must be more than ``LEARN_DAYS``.

    Raises:
        UsageError: too few days for the stage to have learnt.
    """
    if expectation and days <= LEARN_DAYS:
        raise UsageError(
            expected=f"more than {LEARN_DAYS} days, which the stage expectation learns from",
            got=f"{days}",
            where="--days",
            action=f"give --days {LEARN_DAYS + 1}, with --period-s 10 and fewer satellites",
        )
    asked = {
        "satellites": satellites,
        "channels": channels,
        "duration_s": duration_s,
        # Memory is that of the process that does all the work.
        "workers": 0 if days else workers,
        "learn_windows": learn_windows,
        "memory_size": memory_size,
        "days": days,
        "period_s": period_s,
        "expectation": expectation,
    }
    threads = dict.fromkeys(
        ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"), "1"
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.constellation", json.dumps(asked)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **threads},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=4 * HOUR_S,
    )
    if done.returncode:
        return {"error": f"ended with {done.returncode}; its messages are above"}
    found: dict[str, object] = json.loads(done.stdout)
    return found


def constellation_plan(scene: TelemetryScene, pipeline: Pipeline) -> Plan:
    """The pipeline with a contract of the scene: every channel, and no test of plausibility.

    Plausibility asks for windows of ten minutes; here they last a second.
    """
    contract = parse_contract(
        {
            "contract": "telemetry_scene",
            "version": "1",
            "description": "Housekeeping packets of a simulated fleet, in order of receipt.",
            "key": ["satellite"],
            "group": "region",
            "event_time": {"column": "time_ns", "format": "unix_ns", "time_zone": "utc"},
            "receipt_time": {"column": "received_ns", "format": "unix_ns"},
            "sequence": {"column": "sequence"},
            "fields": {
                model.name: {
                    "type": "number",
                    "unit": model.unit,
                    "range": [model.low, model.high],
                    "nan": "invalid",
                    "required": True,
                }
                for model in scene.channels
            },
            "timing": {
                "out_of_order_s": OUT_OF_ORDER_S,
                "revision_allowance_s": REVISION_ALLOWANCE_S,
                "max_backlog_s": 86400,
                "clock_skew_s": 2,
            },
            "expected_rate_hz": 1 / scene.period_s,
            "silence": {"timeout_s": max(60.0, 6 * scene.period_s), "contacts": []},
            "known_keys": None,
            "extra_columns": "ignore",
            "archive": None,
        },
        where="telemetry_scene",
    )
    return make_plan(pipeline, {"telemetry": contract})


class _Lag:
    """What the ticks of a run took, and when their alerts would have been out."""

    def __init__(self, started_s: float, *, begin_s: float, until_s: float) -> None:
        self.started_s = started_s
        self.begin_s = begin_s
        self.until_s = until_s
        self.done_s = -np.inf
        self.work_s: list[float] = []
        self.alert_s: list[float] = []
        self.memory_mb: dict[int, float] = {}

    def note(self, progress: Progress) -> None:
        """A tick is committed."""
        now_s = time.perf_counter()
        work_s, self.started_s = now_s - self.started_s, now_s
        self.work_s.append(work_s)
        tick_s = progress.tick_ns / NS_PER_S
        self.done_s = max(tick_s, self.done_s) + work_s
        self.alert_s += [
            self.done_s - d.event_ns / NS_PER_S
            for d in progress.newest
            if d.kind in {"unusual", "unexpected"}
            and d.transition == "raised"
            and d.revision == 0
            and d.event_ns <= self.until_s * NS_PER_S
        ]
        day = int(tick_s - self.begin_s) // DAY_S
        self.memory_mb[day] = max(self.memory_mb.get(day, 0.0), _resident_mb())


def _cpu_s() -> float:
    """Of this process and of those that it waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _resident_mb() -> float:
    with Path("/proc/self/statm").open(encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def _once(asked: dict[str, Any]) -> dict[str, object]:
    days, satellites = asked["days"], asked["satellites"]
    tick_s = _LONG_TICK_S if days else TICK_S
    scene = constellation_scene(
        satellites=satellites,
        channels=asked["channels"],
        days=days,
        period_s=asked["period_s"],
        seed=6001,
    )
    plan = constellation_plan(
        scene,
        constellation_pipeline(
            partitions=4 if not days else 1,
            learn_windows=asked["learn_windows"],
            memory_size=asked["memory_size"],
            period_s=asked["period_s"],
            tick_s=tick_s,
            expectation=asked["expectation"],
        ),
    )
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        path = Path(folder) / "telemetry.parquet"
        _say("writing the packets")
        rows = write_packets(
            path, scene, satellites=satellites, duration_s=asked["duration_s"], days=days
        )
        small = replace(scene, n_satellites=1, duration_s=DAY_S)
        write_packets(
            Path(folder) / "small.parquet", small, satellites=2, duration_s=_WARM_S, days=0
        )
        _say("warming up")  # compiles and caches the kernels
        _run(plan, Path(folder) / "small.parquet", Path(folder) / "warm", workers=0, until_s=0)
        _say(f"running over {rows} packets")
        event_s = days * DAY_S if days else asked["duration_s"]
        until_s = scene.start_ns / NS_PER_S + event_s
        before_s = _cpu_s()
        report, lag, wall_s = _run(
            plan, path, Path(folder) / "run", workers=asked["workers"], until_s=until_s
        )
        cpu_s = _cpu_s() - before_s
        work_s = np.array(lag.work_s)
        stage_s: dict[str, dict[str, float]] = report["stage_s"]
        worked_s = float(work_s.sum())
        hosts = max(asked["workers"], 1)
        return {
            **asked,
            "packets": rows,
            "samples": rows * asked["channels"],
            "event_time_s": event_s,
            "wall_s": round(wall_s, 1),
            "times_real_time": round(event_s / wall_s, 2),
            "samples_per_s": round(rows * asked["channels"] / wall_s),
            # On a machine that others use too only this says what the work costs.
            "cpu_s": round(cpu_s, 1),
            "times_real_time_of_a_core": round(event_s / cpu_s, 2),
            # Samples in a second of a core, of those that are asked for in one, at 1 Hz.
            "share_of_asked_by_a_core": round(rows * asked["channels"] / cpu_s / ASKED_SAMPLES, 4),
            "tick_s": tick_s,
            "work_per_tick_s": _quantiles(work_s),
            "alerts": len(lag.alert_s),
            "event_to_alert_s": _quantiles(np.array(lag.alert_s)),
            # Of the time of all processes that host partitions; what is left is reading, routing,
            # the log, the ledger, and waiting for each other.
            "stage_share": {
                stage: round(found["total"] / (hosts * worked_s), 4)
                for stage, found in stage_s.items()
            },
            "stage_s_per_tick_and_partition": {
                stage: {q: round(found[q], 4) for q in ("p50", "p95", "p99", "worst")}
                for stage, found in stage_s.items()
            },
            "balanced": report["accounts"]["balanced"],
            "received": report["accounts"]["received"],
            "quarantined": report["accounts"]["quarantined"],
            "decisions": report["decisions"],
            "memory_by_day_mb": [round(lag.memory_mb[day]) for day in range(days)]
            if days
            else None,
        }


def _quantiles(seconds: np.ndarray[Any, Any]) -> dict[str, float] | None:
    if not len(seconds):
        return None
    ordered = np.sort(seconds)
    nearest = {
        f"p{q}": round(float(ordered[int(np.ceil(q / 100 * len(ordered))) - 1]), 3)
        for q in (50, 95, 99)
    }
    return {**nearest, "worst": round(float(ordered[-1]), 3)}


def _run(
    plan: Plan, path: Path, out: Path, *, workers: int, until_s: float
) -> tuple[dict[str, Any], _Lag, float]:
    source = open_source("telemetry", str(path), plan.contracts["telemetry"])
    started_s = time.perf_counter()
    lag = _Lag(started_s, begin_s=START_2026_NS / NS_PER_S, until_s=until_s)
    # A commit at each tick, as a live run has.
    limits = replace(DEFAULT_LIMITS, epochs_in_flight=1)
    report = run_pipeline(
        plan,
        {"telemetry": source},
        out,
        options=RunOptions(workers=workers, checkpoint_epochs=120),
        on_progress=lag.note,
        limits=limits,
    )
    return report.as_mapping(), lag, time.perf_counter() - started_s


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    json.dump(_once(json.loads(sys.argv[1])), sys.stdout)
