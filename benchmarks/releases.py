"""Releases of firmware on simulated fleets, some of which break a channel quietly.

Each fleet gets one release over three weeks. Every release shifts one channel on purpose, which its
operator names; half of them also break another channel. Both halves of the stage ``version_change``
are given what reaches the ground, with its outages, lost packets and faults: a packet a minute,
each a window of its own. Counted is what the stage tells of, and after how many days.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from sightline.apps.gateway import TelemetryScene
from sightline.apps.gateway.telemetry_scene import (
    FirmwareRelease,
    scene_packets,
    scene_records,
)
from sightline.apps.gateway.telemetry_scene.channels import Nature
from sightline.apps.gateway.telemetry_scene.firmware import FirmwareEffect
from sightline.limits import DEFAULT_LIMITS
from sightline.perceive.row_store import Rows
from sightline.perceive.window_series import WindowSeries
from sightline.records import Decision
from sightline.records.signals import NS_PER_S
from sightline.records.windows import WindowTable
from sightline.runtime import Pipeline, Plan, make_plan
from sightline.runtime.engine.stream import Names
from sightline.runtime.stages.daily_channels import DailyChannels
from sightline.runtime.stages.version_change import VersionChangeStage
from sightline.sense.contract import parse_contract
from sightline.sense.event_time import FOREVER_NS

AT_DAY, ROLLOUT_DAYS, COMPARED_DAYS = 21, 21, 10
WHOLE_DAYS = AT_DAY + ROLLOUT_DAYS + COMPARED_DAYS + 2
RATE = 0.01
KINDS = ("drift", "noise growth")
SIZES = {"drift": 0.15, "noise growth": 0.06}
"""Of what breaks: noise_sd a day, and share of the noise a day; the middle of what is drawn."""
VERSION = "2.0"
_DAY_NS = 86_400 * NS_PER_S
_MINUTE_NS = 60 * NS_PER_S
_TIMING = {"out_of_order_s": 60, "revision_allowance_s": 3600, "max_backlog_s": 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One fleet and its release.

    Attributes:
        scene: the fleet.
        intended: channel that it shifts on purpose.
        broken: channel that it breaks; ``""`` if none.
        kind: of what it breaks.
    """

    scene: TelemetryScene
    intended: str
    broken: str
    kind: str


def trial(seed: int, *, satellites: int, breaks: bool) -> Trial:
    """The fleet of a seed.

    >>> trial(0, satellites=4, breaks=False).broken
    ''
    """
    rng = np.random.default_rng([seed, breaks])
    # A counter is not drawn, as in the simulator's own releases.
    names = [c.name for c in TelemetryScene().channels if c.nature is not Nature.COUNTER]
    intended, broken = rng.permutation(names)[:2].tolist()
    kind = KINDS[int(rng.integers(len(KINDS)))]
    effects = [FirmwareEffect(channel=intended, gain=1.02)]
    if breaks:
        size = SIZES[kind] * float(rng.choice([-1.0, 1.0]))
        is_drift = kind == "drift"
        effects.append(
            FirmwareEffect(
                channel=broken,
                drift_per_day=size if is_drift else 0.0,
                noise_growth_per_day=0.0 if is_drift else abs(size),
            )
        )
    release = FirmwareRelease(
        version=VERSION, at_day=AT_DAY, rollout_days=ROLLOUT_DAYS, effects=tuple(effects)
    )
    scene = TelemetryScene(
        seed=seed,
        n_satellites=satellites,
        duration_s=WHOLE_DAYS * 86_400,
        period_s=60.0,
        releases=(release,),
    )
    return Trial(scene=scene, intended=intended, broken=broken if breaks else "", kind=kind)


def release_plan(one: Trial) -> Plan:
    """Windows of a minute and the stage, with what the release does on purpose."""
    fields = {
        c.name: {"type": "number", "unit": c.unit, "nan": "invalid", "required": False}
        for c in one.scene.channels
    }
    times: dict[str, Any] = {
        "event_time": {"column": "time_ns", "format": "unix_ns"},
        "receipt_time": {"column": "received_ns", "format": "unix_ns"},
    }
    telemetry = {
        "contract": "telemetry", "key": ["satellite"], "group": "region", **times,
        "sequence": {"column": "sequence"}, "fields": fields, "timing": _TIMING,
    }  # fmt: skip
    versions = {
        "contract": "versions", "key": ["satellite", "version"], **times,
        "fields": {"build": {"type": "integer", "unit": "1", "required": False}},
        "timing": {**_TIMING, "watermark_by": ["satellite"]},
    }  # fmt: skip
    form = {
        "pipeline": "releases",
        "tick_s": 3600,
        "sources": {"telemetry": {"contract": "t"}, "versions": {"contract": "v"}},
        "stages": {
            "health": {
                "use": "windows", "input": "telemetry", "width_s": 60, "statistics": ["mean"],
            },
            "degraded": {
                "use": "version_change", "input": "health", "versions": "versions",
                "days": COMPARED_DAYS, "false_alarms_per_version": RATE,
                "intended": {VERSION: [one.intended]}, "code": "SILENT_DEGRADATION",
            },
        },
    }  # fmt: skip
    return make_plan(
        Pipeline.model_validate(form),
        {
            "telemetry": parse_contract(telemetry, where="releases"),
            "versions": parse_contract(versions, where="releases"),
        },
    )


def told_of(one: Trial) -> tuple[Decision, ...]:
    """What the stage decides, looking at each day once."""
    scene, plan = one.scene, release_plan(one)
    (step,) = plan.over_all_keys
    stage, columns = step.stage, [m.column for m in step.reads]
    assert isinstance(stage, VersionChangeStage)
    keys = Names([scene.satellite_name(k) for k in range(scene.n_satellites)])
    series = WindowSeries(columns, slide_ns=_MINUTE_NS, width_ns=_MINUTE_NS)
    for number in range(scene.n_satellites):
        series.upsert(_windows(scene, number, columns))
    daily = DailyChannels(step, DEFAULT_LIMITS)
    daily.settle(series, np.full(scene.n_satellites, FOREVER_NS))
    updates = scene_records(scene).updates
    names = Names()
    daily.take_beside(
        Rows(
            key=names.encode(
                pl.select(pl.concat_str(updates["satellite"], pl.lit("/"), updates["version"]))
                .to_series(),
                most=1 << 20,
            ),
            group=np.zeros(updates.height, np.uint32),
            time_ns=updates["time_ns"].to_numpy(),
            sequence=np.zeros(updates.height, np.int64),
            values={},
        ),
        names,
    )  # fmt: skip
    half = stage.begin_all_keys(step, pipeline=plan.digest, limits=DEFAULT_LIMITS)
    half.take(daily.report(keys))
    said = [
        decision
        for day in range(1, WHOLE_DAYS + 1)
        for change in half.look(scene.start_ns + day * _DAY_NS)
        for decision in change.decisions
    ]
    return tuple(said)


def _windows(scene: TelemetryScene, number: int, columns: list[str]) -> WindowTable:
    """The packets of a satellite, each as the window of its minute."""
    packets = pl.concat(
        scene_packets(scene, satellite=number, day=day).telemetry for day in range(scene.n_days)
    )
    minute = (pl.col("time_ns") // _MINUTE_NS).alias("minute")
    first = packets.with_columns(minute).unique("minute", keep="first").sort("minute")
    return WindowTable(
        key=np.full(first.height, number, np.uint32),
        window=first["minute"].to_numpy(),
        slide_ns=_MINUTE_NS,
        width_ns=_MINUTE_NS,
        columns={c: first[c.removesuffix(".mean")].to_numpy() for c in columns},
    )


def bench_releases(
    *, fleets: int, satellites: int, seed: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Half of the fleets get a release that breaks a channel, and half one that does not.

    Args:
        fleets: of each half.
        satellites: of each fleet.
        seed: of the first fleet.
        progress: told of each fleet.
    """
    days: dict[str, list[float]] = {kind: [] for kind in KINDS}
    asked, wrong, false = dict.fromkeys(KINDS, 0), 0, 0
    for number in range(fleets):
        for breaks in (True, False):
            one = trial(seed + number, satellites=satellites, breaks=breaks)
            decisions = told_of(one)
            told = [
                (decision.event_ns, reason.measure)
                for decision in decisions
                for reason in decision.reasons
                if reason.code == "SILENT_DEGRADATION"
            ]
            right = [at for at, measure in told if breaks and f"{one.broken}." in measure]
            beside = len(told) - len(right)
            wrong += bool(beside) and breaks
            false += bool(beside) and not breaks
            if breaks:
                asked[one.kind] += 1
            if right:
                since_ns = min(right) - one.scene.start_ns
                days[one.kind].append(since_ns / _DAY_NS - AT_DAY)
            what = f"{one.broken} {one.kind}" if breaks else "breaks nothing"
            progress(f"fleet {seed + number}: {what}: {[m for _, m in told] or 'nothing told'}")
    return {
        "fleets_of_each": fleets,
        "satellites": satellites,
        "first_seed": seed,
        "stated_rate_per_version": RATE,
        "broken": {
            kind: {
                "releases": asked[kind],
                "told": len(days[kind]),
                "days_from_first_update_to_data": np.round(np.sort(days[kind]), 1).tolist(),
            }
            for kind in KINDS
        },
        "also_told_of_another_channel": wrong,
        "harmless": {
            "releases": fleets,
            "told_falsely": false,
            "upper_95_percent": float(stats.beta.ppf(0.95, false + 1, fleets - false))
            if false < fleets
            else 1.0,
        },
    }
