"""A small fleet whose satellites get new versions, some later and some never, and runs of it."""

from __future__ import annotations

import numpy as np
import polars as pl

from sightline.runtime import Pipeline, make_plan
from sightline.sense.contract import parse_contract
from simulation.engine import SimulatedEngine
from simulation.schedules import NS_PER_S, Columns

STEP_S = 7200
PER_DAY = 86_400 // STEP_S
DAY_NS = 86_400 * NS_PER_S
START_NS = 1_767_225_600 * NS_PER_S
SATELLITES, DAYS = 24, 42
ROLLOUT = (16, 30)
BACKLOG_S = 86_400
COLUMNS = Columns(
    key="satellite", time="time_ns", received="received_ns", sequence="sequence", value="heat_c"
)
_TIMING = {"out_of_order_s": 60, "revision_allowance_s": 36_000, "max_backlog_s": BACKLOG_S}
TELEMETRY = {
    "contract": "telemetry",
    "key": ["satellite"],
    "group": "region",
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "sequence": {"column": "sequence"},
    "fields": {
        "heat_c": {"type": "number", "unit": "degC", "required": False},
        "volt_v": {"type": "number", "unit": "V", "required": False},
    },
    "timing": _TIMING,
}
VERSIONS = {
    "contract": "versions",
    "key": ["satellite", "firmware"],
    "event_time": {"column": "time_ns", "format": "unix_ns"},
    "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    "fields": {"build": {"type": "integer", "unit": "1", "required": False}},
    "timing": {**_TIMING, "watermark_by": ["satellite"]},
}


def fleet_plan(*, partitions=3, stage=None, desk=True, **form):
    """Windows of one sample each, the comparison of versions, and a desk."""
    plain = {
        "pipeline": "fleet",
        "partitions": partitions,
        "tick_s": 21_600,
        "idle_s": 3600,
        "sources": {
            "telemetry": {"contract": "telemetry"},
            "versions": {"contract": "versions", "optional": True},
        },
        "stages": {
            "rows": {
                "use": "windows",
                "input": "telemetry",
                "width_s": STEP_S,
                "statistics": ["mean"],
            },
            "degraded": {
                "use": "version_change",
                "input": "rows",
                "versions": "versions",
                "days": 9,
                "code": "SILENT_DEGRADATION",
                **(stage or {}),
            },
        },
        **({"alerting": {"hold_s": 0, "by": ["satellite", "firmware"]}} if desk else {}),
        **form,
    }
    return make_plan(
        Pipeline.model_validate(plain),
        {
            "telemetry": parse_contract(TELEMETRY, where="small"),
            "versions": parse_contract(VERSIONS, where="small"),
        },
    )


def name_of(number):
    return f"sat-{number:02d}"


def update_days(seed=0, satellites=SATELLITES, share=0.6, rollout=ROLLOUT):
    """int64[satellites]: the day of each one's update, -1 for those that never get it."""
    rng = np.random.default_rng([seed, 1])
    day = rng.integers(*rollout, satellites)
    return np.where(rng.random(satellites) < share, day, -1)


def telemetry(updated, *, seed=0, days=DAYS, shift_c=0.0, gone=()):
    """Two channels with an orbit, a season common to all, one of their own, and noise.

    Args:
        updated: of :func:`update_days`.
        shift_c: how much warmer it is on who runs the new version, from the update on.
        gone: (satellite, first row, last row) of rows that never come.
    """
    frames = []
    at_s = np.arange(days * PER_DAY) * float(STEP_S)
    day = at_s / 86_400
    for k, at in enumerate(updated.tolist()):
        rng = np.random.default_rng([seed, 2, k])
        phase = rng.uniform(0, 2 * np.pi)
        season = 4 * np.sin(2 * np.pi * day / 50) + 0.5 * np.sin(2 * np.pi * day / 64 + phase)
        heat = 20 + season + 2 * np.sin(2 * np.pi * at_s / 5700 + phase)
        heat += rng.normal(0, 0.4, len(at_s))
        volt = 28 + 0.2 * season + rng.normal(0, 0.1, len(at_s))
        sent_s = 3600.0 + 86_400 * at
        if at >= 0:
            heat += shift_c * (at_s >= sent_s)
        time_ns = START_NS + (at_s * NS_PER_S).astype(np.int64)
        one = pl.DataFrame(
            {
                "satellite": name_of(k),
                "region": f"r{k % 2}",
                "time_ns": time_ns,
                "received_ns": time_ns,
                "sequence": np.arange(len(at_s)),
                "heat_c": np.round(heat, 3),
                "volt_v": np.round(volt, 3),
            }
        )
        lost = [np.arange(first, last + 1) for who, first, last in gone if who == k]
        kept = np.setdiff1d(np.arange(len(at_s)), np.concatenate(lost) if lost else [])
        frames.append(one[kept.tolist()])
    return pl.concat(frames).sort("received_ns", "satellite")


def versions(updated):
    """All run 1.0 at first; then each says when it runs 2.0."""
    rows = [(name_of(k), "1.0", START_NS) for k in range(len(updated))]
    rows += [
        (name_of(k), "2.0", START_NS + at * DAY_NS + 3600 * NS_PER_S)
        for k, at in enumerate(updated.tolist())
        if at >= 0
    ]
    frame = pl.DataFrame(rows, schema=["satellite", "firmware", "time_ns"], orient="row")
    return frame.with_columns(received_ns=pl.col("time_ns")).sort("received_ns", "satellite")


def frames(*, seed=0, shift_c=0.0, gone=(), **rollout):
    """Both sources."""
    updated = update_days(seed, **rollout)
    rows = telemetry(updated, seed=seed, shift_c=shift_c, gone=gone)
    return {"telemetry": rows, "versions": versions(updated)}


def engine(sources=None, *, plan=None, controls=()):
    """A simulated engine over :func:`frames`."""
    return SimulatedEngine(plan or fleet_plan(), sources or frames(), controls=controls)
