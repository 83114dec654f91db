"""A small pipeline and its rows: six sensors in two areas for a minute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from sightline.runtime import Pipeline, Plan, make_plan
from sightline.sense.contract import parse_contract
from simulation.schedules import NS_PER_S, Columns

START_NS = 1_767_225_600 * NS_PER_S
DURATION_S = 60.0
OUT_OF_ORDER_S = 2.0
ALLOWANCE_S = 20.0
SENSORS = tuple(f"s{i}" for i in range(6))
COLUMNS = Columns(
    key="sensor", time="time_ns", received="received_ns", sequence="sequence", value="value"
)

CONTRACT: Mapping[str, Any] = {
    "contract": "small",
    "key": ["sensor"],
    "group": "area",
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "sequence": {"column": "sequence"},
    "fields": {"value": {"type": "number", "unit": "1", "range": [-1000, 1000]}},
    "timing": {
        "out_of_order_s": OUT_OF_ORDER_S,
        "revision_allowance_s": ALLOWANCE_S,
        "max_backlog_s": 3600,
        "clock_skew_s": 1,
    },
    "silence": {"timeout_s": 6},
}
PIPELINE: Mapping[str, Any] = {
    "pipeline": "small",
    "partitions": 2,
    "tick_s": 10,
    "idle_s": 10,
    "sources": {"t": {"contract": "small.contract.yaml"}},
    "stages": {
        "level": {"use": "windows", "input": "t", "width_s": 10, "statistics": ["count", "mean"]},
        "odd": {
            "use": "robust_deviation",
            "input": "level",
            "measures": ["value.mean"],
            "history": 4,
            "min_history": 2,
            "floor": {"value.mean": 0.5},
            "guarded": {
                "budget_s": 1,
                "fallback": "level_deviation",
                "breaker": {"open_after": 2, "retry_after_ticks": 2, "close_after": 1},
            },
        },
        "seen": {"use": "presence", "input": "t", "width_s": 2},
        "area_silent": {"use": "silence", "input": "seen", "scope": "group", "code": "AREA_SILENT"},
        "silent": {
            "use": "silence",
            "input": "seen",
            "code": "SILENT",
            "inhibited_by": ["area_silent"],
            "inhibit_hold_s": 5,
        },
        "high": {
            "use": "alarm",
            "input": "level",
            "measure": "value.mean",
            "unit": "1",
            "raise_above": 10,
            "clear_below": 5,
            "code": "HIGH",
        },
        "unusual": {
            "use": "alarm",
            "input": "odd",
            "measure": "value",
            "unit": "1",
            "raise_above": 6,
            "clear_below": 3,
            "code": "ODD",
        },
    },
}


def small_plan(
    *,
    contract: Mapping[str, Any] | None = None,
    stages: Mapping[str, Mapping[str, Any]] | None = None,
    **pipeline: Any,
) -> Plan:
    """The small pipeline with some of its keys replaced, stage by stage."""
    merged = {n: {**s, **(stages or {}).get(n, {})} for n, s in PIPELINE["stages"].items()}
    form = Pipeline.model_validate({**PIPELINE, **pipeline, "stages": merged})
    return make_plan(form, {"t": parse_contract({**CONTRACT, **(contract or {})}, where="small")})


def small_rows(seed: int) -> pl.DataFrame:
    """One row a second of each sensor; some fall silent, some step, an area may go silent."""
    rng = np.random.default_rng([seed, 3])
    quiet: dict[str, tuple[float, float]] = {}
    if rng.random() < 0.4:
        quiet["north"] = _gap(rng)
    for sensor in SENSORS:
        if rng.random() < 0.3:
            quiet[sensor] = _gap(rng)
    frames = []
    for i, sensor in enumerate(SENSORS):
        area = "north" if i < 3 else "south"
        time_s = np.arange(0.0, DURATION_S) + i / 8
        step = 15.0 * ((time_s > 30) & (rng.random() < 0.4))
        value = np.round(rng.normal(size=len(time_s)) + step, 3)
        sent = np.ones(len(time_s), np.bool_)
        for name in (sensor, area):
            if name in quiet:
                begin_s, end_s = quiet[name]
                sent &= (time_s < begin_s) | (time_s >= end_s)
        frames.append(
            pl.DataFrame(
                {
                    "sensor": pl.Series([sensor]).new_from_index(0, int(sent.sum())),
                    "area": pl.Series([area]).new_from_index(0, int(sent.sum())),
                    "time_ns": START_NS + (time_s[sent] * NS_PER_S).astype(np.int64),
                    "sequence": np.flatnonzero(sent) * 10,
                    "value": value[sent],
                }
            )
        )
    return pl.concat(frames)


def _gap(rng: np.random.Generator) -> tuple[float, float]:
    begin_s = float(rng.uniform(5, 45))
    return begin_s, begin_s + float(rng.uniform(3, 30))


def mask(sensor: str) -> dict[str, Any]:
    """The operator input that hides everything about ``sensor``, always."""
    return {"control": "mask", "subject": sensor, "from_ns": 0, "until_ns": 1 << 62}
