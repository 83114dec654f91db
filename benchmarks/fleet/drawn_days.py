"""Simulated faulty satellite-days through the fleet detector, as series to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.alert_scores import Intervals
from benchmarks.fleet import Channel
from benchmarks.fleet.alert_days import (
    DAY_S,
    GAP_S,
    JudgedDay,
    TestKey,
    alerts_of,
    judged_days,
    trial_scene,
)
from benchmarks.fleet.alert_trials import learn_thresholds
from benchmarks.galleries import (
    Finding,
    Gallery,
    GallerySettings,
    JudgedSeries,
    require_drawing,
    write_gallery,
)
from sightline.apps.gateway.telemetry_scene import TelemetryScene, scene_block, scene_truth
from sightline.errors import UsageError
from sightline.records.signals import NS_PER_S
from sightline.records.windows import FloatArray, IntArray

MAX_DRAWN_DAYS = 400
"""Satellite-days in one gallery; their samples are held until they are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnDaysPlan:
    """Which days to simulate and judge.

    Attributes:
        satellites, days: with faults, of each satellite.
        calibration_days: satellite-days of another fleet, without a fault, for the thresholds.
        period_s: of sampling.
        faults_per_satellite_day: on average.
        budget: false alerts per satellite-day that thresholds aim at.
        calibration_seed, faults_seed: of the fleets.
        workers: processes for the calibration.

    Raises:
        UsageError: nothing or too much to draw, or one seed for both fleets.
    """

    satellites: int = 20
    days: int = 5
    calibration_days: int = 240
    period_s: float = 10.0
    faults_per_satellite_day: float = 2.0
    budget: float = 3e-4
    calibration_seed: int = 9301
    faults_seed: int = 8301
    workers: int = 1

    def __post_init__(self) -> None:
        drawn = self.satellites * self.days
        is_sound = min(self.satellites, self.days) > 0 and drawn <= MAX_DRAWN_DAYS
        if not is_sound or self.calibration_seed == self.faults_seed:
            raise UsageError(
                expected=f"1 to {MAX_DRAWN_DAYS} satellite-days, and two different seeds",
                got=f"{drawn}, seeds {self.calibration_seed} and {self.faults_seed}",
                where="drawn days",
                action="see its docstring",
            )


def draw_days(plan: DrawnDaysPlan, out: Path, *, only: str = "all", limit: int = 60) -> Gallery:
    """Draw the days of ``plan`` into the folder ``out``, with a page that leads to the pictures.

    Args:
        plan: what to simulate and judge.
        out: folder for the pictures.
        only: "all", or the series that have at least one of "hits", "misses", "false-alarms".
        limit: most pictures; the worst are drawn first.
    """
    require_drawing()  # before minutes of work
    settings = GallerySettings(only=None if only == "all" else Finding(only), limit=limit)
    notes = [
        f"{plan.satellites * plan.days} satellite-days of seed {plan.faults_seed} with "
        f"{plan.faults_per_satellite_day:g} faults a day, judged by the fleet detector. "
        f"Thresholds from {plan.calibration_days} days of seed {plan.calibration_seed} without a "
        "fault: pictures, not figures; those are of `python -m benchmarks alerts`.",
        "The score is the strongest test's evidence as a share of its threshold. Alerts less "
        "than an hour apart are one. Channels of a day without fault and alert are left out.",
        "A label is a hit when a detected event shares a row with it, else a miss; an event that "
        "shares a row with no label is a false alarm.",
    ]
    title = "Hits, misses and false alarms on simulated satellite-days"
    return write_gallery(out, drawn_days(plan), title=title, notes=notes, settings=settings)


def drawn_days(plan: DrawnDaysPlan) -> list[JudgedSeries]:
    """Every channel of a day that has a fault or an alert.

    The thresholds are those that ``python -m benchmarks alerts`` would learn from as many days. The
    score is the evidence of the strongest test as a share of its threshold. Alerts less than an
    hour apart are told as one.

    Raises:
        UsageError: too few days to learn thresholds from.
    """
    thresholds, _ = learn_thresholds(
        seed=plan.calibration_seed,
        days=plan.calibration_days,
        period_s=plan.period_s,
        budget=plan.budget,
        workers=plan.workers,
    )
    scene = trial_scene(
        seed=plan.faults_seed,
        satellites=plan.satellites,
        days=plan.days,
        period_s=plan.period_s,
        faults_per_satellite_day=plan.faults_per_satellite_day,
    )
    return [
        series
        for satellite in range(plan.satellites)
        for day in islice(judged_days(scene, satellite), plan.days)
        for series in day_series(scene, day, thresholds)
    ]


def day_series(
    scene: TelemetryScene, day: JudgedDay, thresholds: Mapping[TestKey, float]
) -> list[JudgedSeries]:
    """The channels of one day that have a fault or an alert.

    Args:
        scene: that the day is of.
        day: judged.
        thresholds: of the evidence, by channel and test.
    """
    truth = scene_truth(scene, satellites=[day.satellite]).faults.to_dicts()
    values = scene_block(scene, satellite=day.satellite, day=day.day).values
    first_ns = scene.start_ns + day.day * DAY_S * NS_PER_S
    found = []
    for channel in Channel:
        name = scene.channels[channel].name
        faults = [
            fault
            for fault in truth
            if fault["channel"] == name
            and first_ns <= fault["start_ns"] < first_ns + DAY_S * NS_PER_S
        ]
        alerts, _ = alerts_of(day, thresholds, channel)
        if faults or len(alerts):
            found.append(
                JudgedSeries.of(
                    name=f"sat-{day.satellite + 1:03d}/day-{day.day}/{name}",
                    category=name,
                    channels={name: np.ascontiguousarray(values[:, channel])},
                    score=_share_of_threshold(day, thresholds, channel),
                    threshold=1.0,
                    labels=_rows(
                        day.time_ns,
                        Intervals.of([(fault["start_ns"], fault["end_ns"]) for fault in faults]),
                    ),
                    kinds=[_words(fault["kind"], fault["magnitude"]) for fault in faults],
                    events=_rows(day.time_ns, alerts),
                    episode_gap_rows=round(GAP_S / scene.period_s),
                    time_ns=day.time_ns,
                )
            )
    return found


def _share_of_threshold(
    day: JudgedDay, thresholds: Mapping[TestKey, float], channel: Channel
) -> FloatArray:
    found = np.full(len(day.time_ns), np.nan)
    for (of, name), evidence in day.evidence.items():
        if of is channel:
            found = np.fmax(found, evidence / thresholds[of, name])
    return found


def _rows(time_ns: IntArray, spans: Intervals) -> Intervals:
    """Closed spans of time as rows: those within, and at least the first one after its start."""
    first = np.minimum(np.searchsorted(time_ns, spans.start_ns), len(time_ns) - 1)
    last = np.searchsorted(time_ns, spans.end_ns, side="right") - 1
    return Intervals(first.astype(np.int64), np.maximum(last, first).astype(np.int64))


def _words(kind: str, magnitude: float) -> str:
    return f"{kind} {magnitude:.1f} σ" if magnitude else kind
