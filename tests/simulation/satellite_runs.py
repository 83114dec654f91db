"""Two small satellites that are watched by what is expected of them, and runs of them."""

from __future__ import annotations

import numpy as np
import polars as pl

from sightline.runtime import Pipeline, make_plan
from sightline.sense.contract import parse_contract
from simulation.schedules import NS_PER_S, Columns

STEP_S = 480
PER_DAY = 86_400 // STEP_S
LEARN_DAYS = 3
ROWS = round(3.4 * PER_DAY)
START_NS = 1_767_225_600 * NS_PER_S
FAULT = (LEARN_DAYS * PER_DAY + 16, LEARN_DAYS * PER_DAY + 46)
"""Rows of satellite a on which its current is too high though its voltage is as ever."""
COLUMNS = Columns(
    key="satellite", time="time_ns", received="received_ns", sequence="sequence", value="volt_v"
)
TELEMETRY = {
    "contract": "telemetry",
    "key": ["satellite"],
    "group": "region",
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "sequence": {"column": "sequence"},
    "fields": {
        "volt_v": {"type": "number", "unit": "V", "range": [-100, 100], "required": False},
        "amp_a": {"type": "number", "unit": "A", "required": False},
        "heat_c": {"type": "number", "unit": "degC", "required": False},
    },
    "timing": {"out_of_order_s": 60, "revision_allowance_s": 36_000, "max_backlog_s": 200_000},
}
COMMANDS = {
    "contract": "commands",
    "key": ["satellite", "command"],
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "fields": {"value": {"type": "number", "unit": "1", "required": False}},
    "timing": {"out_of_order_s": 60, "revision_allowance_s": 36_000, "max_backlog_s": 200_000,
               "watermark_by": ["satellite"]},
}  # fmt: skip


def satellite_plan(*, partitions=2, stage=None, **form):
    """Windows of one sample each, and what is expected of them."""
    return make_plan(
        Pipeline.model_validate(
            {
                "pipeline": "satellites",
                "partitions": partitions,
                "tick_s": STEP_S,
                "idle_s": 3600,
                "sources": {
                    "telemetry": {"contract": "telemetry"},
                    "commands": {"contract": "commands", "optional": True},
                },
                "stages": {
                    "rows": {
                        "use": "windows",
                        "input": "telemetry",
                        "width_s": STEP_S,
                        "statistics": ["mean"],
                    },
                    "unexpected": {
                        "use": "expectation",
                        "input": "rows",
                        "commands": "commands",
                        "learn_days": LEARN_DAYS,
                        "code": "UNEXPECTED",
                        **(stage or {}),
                    },
                },
                **form,
            }
        ),
        {
            "telemetry": parse_contract(TELEMETRY, where="small"),
            "commands": parse_contract(COMMANDS, where="small"),
        },
    )


def telemetry(rows=ROWS, fault=FAULT):
    """An orbit of 95 minutes, a heater that a command switches on, and a fault of a."""
    frames = []
    for k, name in enumerate("ab"):
        rng = np.random.default_rng(k)
        at_s = np.arange(rows) * float(STEP_S)
        turn = 2 * np.pi * at_s / 5700.0 + k
        volt = 28 + np.sin(turn) + 0.03 * rng.normal(size=rows)
        amp = 2 + np.cos(turn) + 0.03 * rng.normal(size=rows)
        heat = 20 + 2 * np.sin(turn - 0.5) + 0.05 * rng.normal(size=rows)
        for sent_s in commanded_s(k, rows):
            since = at_s - sent_s
            heat += np.where((since >= 0) & (since < 7200), 4 * np.exp(-since / 3000), 0)
        if k == 0:
            amp[fault[0] : fault[1]] += 0.8
        frames.append(
            pl.DataFrame(
                {
                    "satellite": name,
                    "region": "north",
                    "time_ns": START_NS + (at_s * NS_PER_S).astype(np.int64),
                    "received_ns": START_NS + (at_s * NS_PER_S).astype(np.int64),
                    "sequence": np.arange(rows),
                    "volt_v": np.round(volt, 3),
                    "amp_a": np.round(amp, 3),
                    "heat_c": np.round(heat, 3),
                }
            )
        )
    return pl.concat(frames).sort("received_ns", "satellite")


def commanded_s(satellite, rows=ROWS):
    """When the heater of a satellite is switched on, in seconds."""
    rng = np.random.default_rng(50 + satellite)
    return np.sort(rng.uniform(0, rows * STEP_S, rows // 30)).round()


def commands():
    """What was sent; without values."""
    frames = []
    for k, name in enumerate("ab"):
        sent_ns = START_NS + (commanded_s(k) * NS_PER_S).astype(np.int64)
        frames.append(
            pl.DataFrame(
                {
                    "satellite": name,
                    "command": "HEATER_ON",
                    "time_ns": sent_ns,
                    "received_ns": sent_ns,
                    "value": pl.Series([None] * len(sent_ns), dtype=pl.Float64),
                }
            )
        )
    return pl.concat(frames).sort("received_ns")
