"""What a live tick costs when few rows come: routing, logging, admission and windows, on one core.

Thirty rows of thirty keys come each second, for four partitions. Nothing here grows with the rows:
it is the cost of calls. The log is written to memory, so that no disk is measured; a commit is part
of each tick, as in a live run.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl

from sightline.limits import DEFAULT_LIMITS
from sightline.records import Entry, EntryKind
from sightline.records.plain_json import plain_json
from sightline.runtime import Pipeline, make_plan
from sightline.runtime.engine.batches import checked_frame
from sightline.runtime.engine.core import PartitionCore
from sightline.sense.admission import Admitter
from sightline.sense.arrival import Router
from sightline.sense.contract import parse_contract

_START_S = 1_767_225_600
_FIELDS = ("bus_voltage_v", "temperature_c", "snr_db", "packet_loss_ratio", "throughput_mbps")
CONTRACT: dict[str, Any] = {
    "contract": "telemetry",
    "key": ["satellite"],
    "group": "gateway",
    "event_time": {"column": "time_s", "format": "unix_s"},
    "sequence": {"column": "sequence"},
    "fields": {name: {"type": "number", "unit": "1", "range": [-1e6, 1e6]} for name in _FIELDS},
    "timing": {"out_of_order_s": 5, "revision_allowance_s": 60, "max_backlog_s": 86400},
}
PIPELINE: dict[str, Any] = {
    "pipeline": "ticks",
    "partitions": 4,
    "tick_s": 1,
    "sources": {"telemetry": {"contract": "telemetry"}},
    "stages": {
        "level": {"use": "windows", "input": "telemetry", "width_s": 60, "statistics": ["mean"]},
        "high": {
            "use": "alarm",
            "input": "level",
            "measure": "snr_db.mean",
            "unit": "1",
            "raise_above": 130,
            "code": "HIGH",
        },
    },
}


def bench_ticks(*, ticks: int = 300, rows: int = 30) -> dict[str, Any]:
    """CPU milliseconds of a tick: the middle of all, step by step and together."""
    contract = parse_contract(CONTRACT, where="benchmark")
    plan = make_plan(Pipeline.model_validate(PIPELINE), {"telemetry": contract})
    router = Router(plan.contracts, plan.pipeline.partitions)
    cores = [PartitionCore(plan, partition=p) for p in range(plan.pipeline.partitions)]
    admitter = Admitter(contract)
    took_ms: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        began_ns = time.thread_time_ns()
        yield
        took_ms[name][-1] += (time.thread_time_ns() - began_ns) / 1e6

    for number, batch in enumerate(_batches(ticks, rows)):
        for times in took_ms.values():
            times.append(0.0)
        if not number:
            took_ms.update({name: [0.0] for name in ("route", "encode", "rows", "tick", "admit")})
        tick_ns = (_START_S + number + 1) * 1_000_000_000
        with step("route"):
            shares = router.route("telemetry", batch)
        with step("admit"):
            shares[0][1].admission(admitter)  # and of all
        for partition, share in shares:
            with step("encode"):
                checked_frame(share.rows, limits=DEFAULT_LIMITS, where="benchmark")
            with step("rows"):
                cores[partition].step_rows("telemetry", share)
        tick = plain_json({"epoch": number, "tick_ns": tick_ns, "final": False})
        with step("tick"):
            for core in cores:
                core.step(
                    Entry(sequence=number, kind=EntryKind.TICK, name="", time_ns=0, payload=tick)
                )
    middle = {name: round(float(np.median(times)), 3) for name, times in took_ms.items()}
    together = [sum(times) for times in zip(*(took_ms[n] for n in middle), strict=True)]
    return {
        "ticks": ticks,
        "rows_per_tick": rows,
        "partitions": plan.pipeline.partitions,
        "cpu_ms": middle,
        "tick_cpu_ms": round(float(np.median(together)), 3),
    }


def _batches(ticks: int, rows: int) -> Iterator[pl.DataFrame]:
    rng = np.random.default_rng(3)
    for number in range(ticks):
        yield pl.DataFrame(
            {
                "satellite": [f"sat-{n:03d}" for n in range(rows)],
                "gateway": [f"gw-{n % 3}" for n in range(rows)],
                "time_s": np.full(rows, float(_START_S + number)) + rng.random(rows),
                "sequence": np.full(rows, number),
                **{name: 100 + rng.standard_normal(rows) for name in _FIELDS},
                "_origin": ["live"] * rows,
                "_row": np.arange(rows) + number * rows,
                "_received_ns": np.full(rows, (_START_S + number + 1) * 1_000_000_000),
            }
        )
