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

from benchmarks.alert_scores import AlertScore, pooled_score
from benchmarks.fleet import Channel
from benchmarks.fleet.alert_days import (
    FaultRow,
    TestKey,
    alerts_of,
    greatest,
    judged_days,
    scored_day,
    told,
    trial_scene,
)
from benchmarks.fleet.tail import LEAST_BLOCKS, ExtremeTail, pooled_skewness
from sightline.apps.gateway.telemetry_scene import TelemetryScene
from sightline.decide.alerting.budget import BudgetTarget, allocate
from sightline.errors import UsageError

DAYS_PER_SATELLITE = 20
CALIBRATION_DAYS_PER_SATELLITE = 8
FAULT_DAYS_PER_SATELLITE = 5
_DAY_S = 86_400.0
_OVERLAP = 4.0
_SCRUBS_A_DAY = 4.0
_STEADY = 0.15
_LEAST_SPREAD = 0.05
_RISE_WEIGHT = 10.0
_LEAST_FALL = 0.5
"""Half a count: what never falls has fallen."""
_NORMAL = ("jump", "level")
"""Tests whose scores are normal, or nearly: a sum of many samples by its own spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSeeds:
    """Seeds of the fleets.

    Raises:
        UsageError: if two are equal: then thresholds would be judged on what they were set on.
    """

    calibration: int = 9301
    clean: int = 7301
    faults: int = 8301

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

    Each test gets its part of the budget (those of slow rises of a counter ten parts, as a drift
    there shows nowhere else) and may pass its threshold on that share of days. What that takes is
    read off the tail of its daily maxima (:class:`ExtremeTail`): of their squares for jumps and
    levels, as the square of a normal score has an exponential tail. The shape of the tail is common
    to the tests of one name (regional frequency analysis). For counts the level is at least what
    the number of windows in a day asks for; a fall is always told. Days on which a channel has no
    expectation do not enter.

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
    weights = np.array([_RISE_WEIGHT if _family(key) == "rise" else 1.0 for key in maxima])
    target = BudgetTarget(per_satellite_day=budget)
    shares = allocate(target, np.ones(len(maxima)), weights=weights / weights.sum())
    return _thresholds(maxima, shares), sum(count for _, count in jobs)


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


def _thresholds(maxima: Mapping[TestKey, np.ndarray], shares: np.ndarray) -> dict[TestKey, float]:
    """What each test may reach on its share of days.

    The tests of one name, over channels and widths, lend each other the shape of their tail.
    """
    scores = {key: _normalised(key, values[np.isfinite(values)]) for key, values in maxima.items()}
    families: dict[str, list[np.ndarray]] = {}
    for key, values in scores.items():
        families.setdefault(_family(key), []).append(values)
    skewness = {name: pooled_skewness(family) for name, family in families.items()}
    return {
        key: _threshold(key, values, float(share), skewness[_family(key)])
        for (key, values), share in zip(scores.items(), shares, strict=True)
    }


def _family(key: TestKey) -> str:
    return key[1].split("_")[0]


def _normalised(key: TestKey, known: np.ndarray) -> np.ndarray:
    return known * known if _family(key) in _NORMAL else known


def _threshold(key: TestKey, known: np.ndarray, share: float, skewness: float) -> float:
    _, name = key
    if name == "fall":
        return _LEAST_FALL
    if name == "scrubbed":
        return math.log(_SCRUBS_A_DAY / share)
    if len(known) < LEAST_BLOCKS:
        return math.inf
    least = max(_STEADY, _LEAST_SPREAD * float(np.median(known)))
    level = ExtremeTail.fit(known, least_scale=least, skewness=skewness).level(share)
    if _family(key) in _NORMAL:
        return math.sqrt(level)
    if name.startswith("rise_"):
        windows = _OVERLAP * _DAY_S / float(name.removeprefix("rise_"))
        return max(math.log(windows / share), level)
    return level
