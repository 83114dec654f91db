"""Trials of the fleet detector: thresholds from one fleet, false alerts and misses on others.

Three fleets that share no seed: one to learn thresholds from (no faults, no labels), one without a
fault to count false alerts on, one with faults to count misses on. Thresholds are set from the
budget before any satellite of the other two is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

import numpy as np

from sightline.apps.gateway.alert_days import (
    FaultRow,
    TestKey,
    alerts_of,
    greatest,
    judged_days,
    scored_day,
    told,
    trial_scene,
)
from sightline.apps.gateway.telemetry_scene import TelemetryScene
from sightline.decide.alerting.budget import BudgetTarget, allocate
from sightline.errors import UsageError
from sightline.evidence.alerts import AlertScore, pooled_score
from sightline.perceive.normal.fleet import Channel
from sightline.perceive.normal.tail import LEAST_BLOCKS, ExtremeTail

DAYS_PER_SATELLITE = 20
CALIBRATION_DAYS_PER_SATELLITE = 8
FAULT_DAYS_PER_SATELLITE = 5
_DAY_S = 86_400.0
_OVERLAP = 4.0
_SCRUBS_A_DAY = 4.0
_STEADY = 0.15
_LEAST_SPREAD = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSeeds:
    """Seeds of the fleets.

    Raises:
        UsageError: if two are equal: then thresholds would be judged on what they were set on.
    """

    calibration: int = 9001
    clean: int = 7001
    faults: int = 8001

    def __post_init__(self) -> None:
        if len({self.calibration, self.clean, self.faults}) < 3:
            raise UsageError(
                expected="three different seeds",
                got=repr(self),
                where="alert trials",
                action="thresholds are judged on fleets that they were not set on",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanCount:
    """Alerts on days without a fault.

    Attributes:
        days: satellite-days judged.
        alerts: of all channels; those of one channel less than an hour apart are one.
        rows: satellite, day, channel, tests of each.
        silent: channel-days on which a channel's expectation was unknown (no level, no step).
    """

    days: int
    alerts: int
    rows: tuple[tuple[int, int, str, tuple[str, ...]], ...]
    silent: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultCount:
    """Alerts on days with faults.

    Attributes:
        days: satellite-days judged.
        score: events by kind, delays; one for all channels that had a fault.
        rows: every fault.
        other_alerts: on channels that had no fault that day.
        other_days: those channel-days, in satellite-days.
    """

    days: int
    score: AlertScore
    rows: tuple[FaultRow, ...]
    other_alerts: int
    other_days: float


def learn_thresholds(
    *, seed: int, days: int, period_s: float, budget: float, workers: int = 1
) -> tuple[dict[TestKey, float], int]:
    """A threshold for each channel and test, and the satellite-days they come from.

    The budget is shared out evenly; a test may pass its threshold on a share of days that is its
    part. What that takes is read off the tail of its daily maxima (:class:`ExtremeTail`), and for
    the counter's Poisson tails off the number of windows in a day.

    Args:
        seed: of the fleet.
        days: satellite-days, ``LEAST_BLOCKS`` or more.
        period_s: of sampling.
        budget: false alerts per satellite-day, above 0.
        workers: processes.

    Raises:
        UsageError: too few days.
    """
    if days < LEAST_BLOCKS:
        raise UsageError(
            expected=f"{LEAST_BLOCKS} or more satellite-days",
            got=str(days),
            where="calibration of alerts",
            action="a tail cannot be read off fewer",
        )
    scene, jobs = _fleet(seed, days, CALIBRATION_DAYS_PER_SATELLITE, period_s)
    parts = _spread(partial(_maxima, scene), jobs, workers)
    maxima = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    shares = allocate(BudgetTarget(per_satellite_day=budget), np.ones(len(maxima)))
    found = {
        key: _threshold(key, maxima[key], float(share))
        for key, share in zip(maxima, shares, strict=True)
    }
    return found, sum(count for _, count in jobs)


def count_clean(
    thresholds: Mapping[TestKey, float], *, seed: int, days: int, period_s: float, workers: int = 1
) -> CleanCount:
    """Judge ``days`` satellite-days without a fault."""
    if days <= 0:
        return CleanCount(days=0, alerts=0, rows=(), silent=0)
    scene, jobs = _fleet(seed, days, DAYS_PER_SATELLITE, period_s)
    parts = _spread(partial(_clean, scene, dict(thresholds)), jobs, workers)
    return CleanCount(
        days=sum(part.days for part in parts),
        alerts=sum(part.alerts for part in parts),
        rows=tuple(row for part in parts for row in part.rows),
        silent=sum(part.silent for part in parts),
    )


def count_faults(
    thresholds: Mapping[TestKey, float],
    *,
    seed: int,
    days: int,
    period_s: float,
    faults_per_satellite_day: float,
    workers: int = 1,
) -> FaultCount:
    """Judge ``days`` satellite-days with faults."""
    if days <= 0:
        return FaultCount(days=0, score=pooled_score([]), rows=(), other_alerts=0, other_days=0.0)
    scene, jobs = _fleet(
        seed, days, FAULT_DAYS_PER_SATELLITE, period_s, faults=faults_per_satellite_day
    )
    parts = _spread(partial(_faulty, scene, dict(thresholds)), jobs, workers)
    return FaultCount(
        days=sum(part.days for part in parts),
        score=pooled_score([part.score for part in parts]),
        rows=tuple(row for part in parts for row in part.rows),
        other_alerts=sum(part.other_alerts for part in parts),
        other_days=sum(part.other_days for part in parts),
    )


Part = TypeVar("Part")
Job = tuple[int, int]
"""A satellite and how many of its days to judge."""


def _fleet(
    seed: int, days: int, each: int, period_s: float, *, faults: float = 0.0
) -> tuple[TelemetryScene, list[Job]]:
    satellites = math.ceil(days / each)
    scene = trial_scene(
        seed=seed,
        satellites=satellites,
        days=min(each, days),
        period_s=period_s,
        faults_per_satellite_day=faults,
    )
    return scene, [(k, min(each, days - k * each)) for k in range(satellites)]


def _spread(work: Callable[[Job], Part], jobs: Sequence[Job], workers: int) -> list[Part]:
    """Satellites over processes; results in the order of satellites, whatever the number."""
    if workers <= 1:
        return [work(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, jobs))


def _maxima(scene: TelemetryScene, job: Job) -> dict[TestKey, np.ndarray]:
    satellite, count = job
    rows = [greatest(day) for day in islice(judged_days(scene, satellite), count)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _clean(scene: TelemetryScene, thresholds: dict[TestKey, float], job: Job) -> CleanCount:
    satellite, count = job
    rows, alerts, silent = [], 0, 0
    for day in islice(judged_days(scene, satellite), count):
        for channel in Channel:
            found, tests = alerts_of(day, thresholds, channel)
            alerts += told(found)
            if tests:
                rows.append((satellite, day.day, scene.channels[channel].name, tests))
            level = day.evidence.get((channel, "level_3600"))
            silent += level is not None and not bool(np.isfinite(level).any())
    return CleanCount(days=count, alerts=alerts, rows=tuple(rows), silent=silent)


def _faulty(scene: TelemetryScene, thresholds: dict[TestKey, float], job: Job) -> FaultCount:
    satellite, count = job
    scores: list[AlertScore] = []
    rows: list[FaultRow] = []
    false, clean = 0, 0
    for day in islice(judged_days(scene, satellite), count):
        of_day, faults, others, channels = scored_day(scene, day, thresholds)
        scores += of_day
        rows += faults
        false += others
        clean += channels
    return FaultCount(
        days=count,
        score=pooled_score(scores),
        rows=tuple(rows),
        other_alerts=false,
        other_days=clean / len(Channel),
    )


def _threshold(key: TestKey, maxima: np.ndarray, share: float) -> float:
    """What a test may reach on a share of days."""
    _, name = key
    if name == "scrubbed":
        return math.log(_SCRUBS_A_DAY / share)
    if name.startswith("rise_"):
        windows = _OVERLAP * _DAY_S / float(name.removeprefix("rise_"))
        return math.log(windows / share)
    known = maxima[np.isfinite(maxima)]
    if len(known) < LEAST_BLOCKS:
        return math.inf
    usual = float(np.median(known))
    least = max(_STEADY, _LEAST_SPREAD * usual)
    return ExtremeTail.fit(known, least_scale=least).level(share)
