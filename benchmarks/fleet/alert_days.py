"""Simulated satellite-days through the fleet detector: evidence, its daily maxima, alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.alert_scores import AlertScore, Intervals, TrueEvents, score_alerts
from benchmarks.fleet import (
    Channel,
    CommandRecord,
    SatelliteSeries,
    SatelliteWatch,
)
from benchmarks.fleet.watch import HISTORY_DAYS
from sightline.apps.gateway.telemetry_scene import (
    TelemetryScene,
    scene_block,
    scene_records,
    scene_truth,
)
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

TestKey = tuple[Channel, str]
DAY_S = 86_400
GAP_S = 3600.0
"""Alerts of one channel less than this apart are one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedDay:
    """One satellite-day with what the detector made of it.

    Attributes:
        satellite, day: indices in the scene.
        time_ns: int64[n], UTC ns.
        evidence: float64[n] for each channel and test.
    """

    satellite: int
    day: int
    time_ns: IntArray
    evidence: Mapping[TestKey, FloatArray]


def trial_scene(
    *, seed: int, satellites: int, days: int, period_s: float, faults_per_satellite_day: float = 0.0
) -> TelemetryScene:
    """``days`` to judge, after those that the detector begins to learn from.

    No release of firmware, no outage, no disturbance of a gateway.
    """
    return TelemetryScene(
        seed=seed,
        n_satellites=satellites,
        duration_s=(HISTORY_DAYS + days) * DAY_S,
        period_s=period_s,
        faults_per_satellite_day=faults_per_satellite_day,
        gateway_faults_per_day=0,
        outages_per_gateway_day=0,
        releases="none",
    )


def satellite_day(
    scene: TelemetryScene, satellite: int, day: int
) -> tuple[IntArray, SatelliteSeries]:
    """Times (int64[n], UTC ns) and telemetry of a satellite on a day."""
    block = scene_block(scene, satellite=satellite, day=day)
    series = SatelliteSeries(
        time_s=(block.time_ns - scene.start_ns) / NS_PER_S,
        values=np.ascontiguousarray(block.values.T),
        period_s=scene.period_s,
    )
    return block.time_ns, series


def judged_days(scene: TelemetryScene, satellite: int) -> Iterator[JudgedDay]:
    """Every day of a satellite but the first three, which it learns from.

    What a day adds to what is learnt is the same day without its faults, as operators take known
    faults out of the past.
    """
    clean = replace(scene, faults_per_satellite_day=0)
    table = scene_records(scene, satellites=[satellite]).commands
    commands = CommandRecord(
        sent_s=(table["time_ns"].to_numpy() - scene.start_ns) / NS_PER_S,
        name=table["command"].to_numpy().astype(np.str_),
    )
    first = tuple(satellite_day(clean, satellite, day)[1] for day in range(HISTORY_DAYS))
    watch = SatelliteWatch(days=first)
    for day in range(HISTORY_DAYS, scene.n_days):
        time_ns, today = satellite_day(scene, satellite, day)
        evidence, model = watch.judge(today, commands)
        yield JudgedDay(satellite=satellite, day=day, time_ns=time_ns, evidence=evidence)
        is_clean = scene.faults_per_satellite_day == 0
        watch = watch.after(today if is_clean else satellite_day(clean, satellite, day)[1], model)


def greatest(day: JudgedDay) -> dict[TestKey, float]:
    """The greatest evidence of each test; NaN where a test had nothing to say all day."""
    found = {}
    for key, score in day.evidence.items():
        known = score[np.isfinite(score)]
        found[key] = float(known.max()) if len(known) else np.nan
    return found


def alerts_of(
    day: JudgedDay, thresholds: Mapping[TestKey, float], channel: Channel
) -> tuple[Intervals, tuple[str, ...]]:
    """When any test of a channel is beyond its threshold, and which tests were."""
    flag = np.zeros(len(day.time_ns), np.bool_)
    names = []
    for (of, name), score in day.evidence.items():
        if of is channel:
            beyond = score > thresholds[of, name]
            if beyond.any():
                flag |= beyond
                names.append(name)
    return Intervals.of_flags(flag, day.time_ns), tuple(names)


def told(alerts: Intervals) -> int:
    """How many alerts are told: those less than an hour apart are one."""
    if not len(alerts):
        return 0
    gap_ns = alerts.start_ns[1:] - alerts.end_ns[:-1]
    return 1 + int((gap_ns > GAP_S * NS_PER_S).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultRow:
    """One injected fault and what became of it.

    Attributes:
        kind, channel, magnitude, duration_s: of the fault.
        satellite, day: where.
        delay_s: from its start to the alert; NaN where it was missed.
        tests: beyond their thresholds some time on that channel and day.
    """

    kind: str
    channel: str
    magnitude: float
    duration_s: float
    satellite: int
    day: int
    delay_s: float
    tests: tuple[str, ...]


def scored_day(
    scene: TelemetryScene, day: JudgedDay, thresholds: Mapping[TestKey, float]
) -> tuple[list[AlertScore], list[FaultRow], int, int]:
    """Scores of the channels with a fault, the faults, and of channels without: alerts, channels.

    An alert counts for a fault on its own channel alone.
    """
    truth = scene_truth(scene, satellites=[day.satellite]).faults.to_dicts()
    first_ns = scene.start_ns + day.day * DAY_S * NS_PER_S
    watched = (first_ns, first_ns + (DAY_S + 60) * NS_PER_S)
    scores, rows, false, clean = [], [], 0, 0
    names = [model.name for model in scene.channels]
    for channel in Channel:
        alerts, tests = alerts_of(day, thresholds, channel)
        faults = [
            fault
            for fault in truth
            if fault["channel"] == names[channel]
            and watched[0] <= fault["start_ns"] < first_ns + DAY_S * NS_PER_S
        ]
        if not faults:
            false += told(alerts)
            clean += 1
            continue
        events = TrueEvents.of(
            [(fault["start_ns"], fault["end_ns"]) for fault in faults],
            [fault["kind"] for fault in faults],
        )
        score = score_alerts(events, alerts, watched=watched)
        scores.append(score)
        for fault, delay_ns in zip(faults, score.delay_ns.tolist(), strict=True):
            rows.append(
                FaultRow(
                    kind=fault["kind"],
                    channel=fault["channel"],
                    magnitude=fault["magnitude"],
                    duration_s=(fault["end_ns"] - fault["start_ns"]) / NS_PER_S,
                    satellite=day.satellite,
                    day=day.day,
                    delay_s=delay_ns / NS_PER_S,
                    tests=tests,
                )
            )
    return scores, rows, false, clean
