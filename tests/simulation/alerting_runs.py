"""A fleet on two gateways, a small pipeline with an alert desk, and runs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.runtime import Pipeline, Plan, RunDirectory, make_plan
from sightline.runtime.alerting.said import AlertingSaid
from sightline.runtime.engine.hosting import FAN_IN
from sightline.sense.contract import parse_contract
from simulation.engine import SimulatedEngine, SimulatedResult
from simulation.trials import unaccounted

NS = 1_000_000_000
START_NS = 1_767_225_600 * NS
CONTRACT: Mapping[str, Any] = {
    "contract": "fleet",
    "key": ["satellite"],
    "group": "region",
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "fields": {"value": {"type": "number", "unit": "1"}},
    "timing": {
        "out_of_order_s": 2,
        "revision_allowance_s": 300,
        "max_backlog_s": 3600,
        "clock_skew_s": 1,
    },
    "silence": {"timeout_s": 15},
}
PIPELINE: Mapping[str, Any] = {
    "pipeline": "fleet",
    "partitions": 3,
    "tick_s": 10,
    "idle_s": 20,
    "sources": {"t": {"contract": "fleet.contract.yaml"}},
    "stages": {
        "level": {"use": "windows", "input": "t", "width_s": 10, "statistics": ["mean"]},
        "seen": {"use": "presence", "input": "t", "width_s": 5},
        "high": {
            "use": "alarm", "input": "level", "measure": "value.mean", "unit": "1",
            "raise_above": 10, "clear_below": 5, "code": "HIGH",
        },
        "silent": {"use": "silence", "input": "seen", "code": "SILENT"},
    },
}  # fmt: skip


def names(n: int) -> list[str]:
    return [f"sat-{i:03d}" for i in range(n)]


def gateway_of(i: int) -> str:
    """Even and odd satellites have a gateway each; regions are thirds."""
    return f"g-{i % 2}"


def fleet_plan(n: int = 12, *, stages: Mapping[str, Any] | None = None, **alerting: Any) -> Plan:
    """The fleet's pipeline with a desk of these settings, and none with ``name=None``."""
    table = {name: {"gateway": gateway_of(i)} for i, name in enumerate(names(n))}
    section = None if alerting.get("name", "desk") is None else {"subjects": table, **alerting}
    merged = dict(PIPELINE["stages"])
    for stage, changed in (stages or {}).items():
        merged[stage] = {**merged.get(stage, {}), **changed}
    form = Pipeline.model_validate({**PIPELINE, "stages": merged, "alerting": section})
    return make_plan(form, {"t": parse_contract(CONTRACT, where="fleet")})


def fleet_rows(
    n: int = 12,
    *,
    duration_s: float = 300,
    quiet: Mapping[str, tuple[float, float]] | None = None,
    high: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    late: Mapping[str, tuple[float, float, float]] | None = None,
) -> pl.DataFrame:
    """A row of each satellite every 2 s, in order of receipt.

    ``quiet``: without rows from, to; ``high``: value 20 instead of 0; ``late``: rows from, to come
    at the third time.
    """
    frames = []
    time_s = np.arange(0.0, duration_s, 2.0)
    for i, name in enumerate(names(n)):
        value = np.zeros(len(time_s))
        for begin, end in (high or {}).get(name, ()):
            value[(time_s >= begin) & (time_s < end)] = 20.0
        received_s = time_s.copy()
        if late and name in late:
            begin, end, at = late[name]
            received_s[(time_s >= begin) & (time_s < end)] = at
        kept = np.ones(len(time_s), np.bool_)
        if quiet and name in quiet:
            begin, end = quiet[name]
            kept = (time_s < begin) | (time_s >= end)
        frames.append(
            pl.DataFrame(
                {
                    "satellite": [name] * int(kept.sum()),
                    "region": [f"r-{i % 3}"] * int(kept.sum()),
                    "time_ns": START_NS + (time_s[kept] * NS).astype(np.int64),
                    "received_ns": START_NS + (received_s[kept] * NS).astype(np.int64),
                    "value": value[kept],
                }
            )
        )
    return pl.concat(frames).sort("received_ns", "satellite", maintain_order=True)


def engine(plan: Plan, rows: pl.DataFrame, *controls: Mapping[str, Any], **kw) -> SimulatedEngine:
    return SimulatedEngine(plan, {"t": rows}, controls=controls, **kw)


def run_fleet(plan: Plan, rows: pl.DataFrame, *controls: Mapping[str, Any]) -> SimulatedResult:
    """Run on the simulated engine; all rows are accounted for and the log replays."""
    built = engine(plan, rows, *controls)
    result = built.run_through()
    assert not unaccounted(result, built)
    verdict = result.replay(built.sources)
    assert verdict, str(verdict.difference)
    return result


def said(run: RunDirectory) -> list[AlertingSaid]:
    """What the desk of a run said, by epoch."""
    return [
        AlertingSaid.from_bytes(entry.payload)
        for entry in read_entries(run.storage, FAN_IN, kinds={EntryKind.ALERTING})
    ]


def messages(run: RunDirectory) -> list[tuple[str, str, int]]:
    """(kind, subject, count) of each message of a run."""
    return [(m["kind"], m["subject"], m["count"]) for one in said(run) for m in one.messages]


def fates(run: RunDirectory) -> dict[str, str]:
    """Where each alert of a run is."""
    return {d["alert_id"]: d["fate"] for one in said(run) for d in one.dispositions}


def dispositions(run: RunDirectory) -> list[dict[str, Any]]:
    return [dict(d) for one in said(run) for d in one.dispositions]


def at(seconds: float) -> int:
    return START_NS + round(seconds * NS)
