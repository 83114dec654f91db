"""``python -m benchmarks alerts``: all trials, one verdict, every denominator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.alert_scores import Requirement, rule
from benchmarks.fleet.alert_days import DAY_S
from benchmarks.fleet.alert_trials import (
    CleanCount,
    FaultCount,
    TrialSeeds,
    count_clean,
    count_faults,
    learn_thresholds,
)
from sightline.evidence.bounds import binomial_lower, poisson_upper

SLOW_S, FAST_S = 10.0, 1.0
SUDDEN = ("dropout", "step", "stuck")
LIMIT_PER_DAY = 1e-3
LEAST_RECALL = 0.95
MOST_DELAY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTrialPlan:
    """What to try.

    Attributes:
        satellite_days: without a fault, at 0.1 Hz: those false alerts are counted on.
        calibration_days: of another fleet, at 0.1 Hz, from which thresholds are learnt.
        fast_calibration_days: the same at 1 Hz.
        fault_days: with faults, at 0.1 Hz.
        fast_fault_days: with faults, at 1 Hz.
        faults_per_satellite_day: on those.
        budget: false alerts per satellite-day that thresholds aim at, below the limit.
        seeds: of the fleets.
        workers: processes.
    """

    satellite_days: int = 10_000
    calibration_days: int = 1_200
    fast_calibration_days: int = 320
    fault_days: int = 200
    fast_fault_days: int = 400
    faults_per_satellite_day: float = 2.0
    budget: float = 1.5e-4
    seeds: TrialSeeds = field(default_factory=TrialSeeds)
    workers: int = 1


def alert_report(plan: AlertTrialPlan, *, clock_s: Callable[[], float]) -> dict[str, Any]:
    """Run all trials; JSON-ready.

    Args:
        plan: what to try.
        clock_s: a monotonic clock, for the run times.
    """
    rates = {}
    clean = CleanCount(days=0, alerts=0, rows=(), silent=0)
    for name, period_s, calibration_days, fault_days in (
        ("0.1 Hz", SLOW_S, plan.calibration_days, plan.fault_days),
        ("1 Hz", FAST_S, plan.fast_calibration_days, plan.fast_fault_days),
    ):
        rate: dict[str, Any] = {"period_s": period_s}
        if calibration_days:
            begin_s = clock_s()
            thresholds, days = learn_thresholds(
                seed=plan.seeds.calibration,
                days=calibration_days,
                period_s=period_s,
                budget=plan.budget,
                workers=plan.workers,
            )
            learnt_s = clock_s()
            faults = count_faults(
                thresholds,
                seed=plan.seeds.faults,
                days=fault_days,
                period_s=period_s,
                faults_per_satellite_day=plan.faults_per_satellite_day,
                workers=plan.workers,
            )
            faults_s = clock_s()
            rate["calibration"] = {"satellite_days": days, "run_time_s": learnt_s - begin_s}
            rate["thresholds"] = {
                f"{channel.name.lower()}/{test}": _number(level)
                for (channel, test), level in thresholds.items()
            }
            rate["faults"] = fault_mapping(faults) | {"run_time_s": faults_s - learnt_s}
            if period_s == SLOW_S:
                clean = count_clean(
                    thresholds,
                    seed=plan.seeds.clean,
                    days=plan.satellite_days,
                    period_s=period_s,
                    workers=plan.workers,
                )
                run_time_s = clock_s() - faults_s
                samples = 8 * clean.days * DAY_S / period_s
                rate["clean"] = clean_mapping(clean) | {
                    "run_time_s": run_time_s,
                    "samples_per_s": _number(samples / run_time_s if run_time_s else math.nan),
                }
            else:
                rate["requirements"] = faults
        rates[name] = rate
    fast = rates["1 Hz"].pop("requirements", None)
    return {
        "seeds": {
            "calibration": plan.seeds.calibration,
            "clean": plan.seeds.clean,
            "faults": plan.seeds.faults,
        },
        "budget_per_satellite_day": plan.budget,
        "faults_per_satellite_day": plan.faults_per_satellite_day,
        "workers": plan.workers,
        "rates": rates,
        "verdict": verdict_mapping(clean, fast),
        "notes": list(NOTES),
    }


NOTES = (
    "clean fleets have no release of firmware, no outage and no disturbance of a gateway; safe "
    "modes, calibration slews, heater settings and seasons of eclipses they have",
    "the first three days of each satellite are learnt from and not counted",
    "alerts of one channel less than an hour apart are one",
    "where a channel has no expectation (near full sun, after a new setting of the heater) days "
    "count all the same, and so do the faults missed on it",
    "in runs with faults each day is learnt from without its faults",
    "an alert counts for a fault on its own satellite and channel, between its start and end",
    "median delays: over all faults of a kind, those missed counted as never",
    "disturbances of a gateway were not tried",
)


def clean_mapping(clean: CleanCount) -> dict[str, Any]:
    """JSON-ready."""
    upper = poisson_upper(clean.alerts, clean.days) if clean.days else math.nan
    return {
        "satellite_days": clean.days,
        "channel_days": 8 * clean.days,
        "channel_days_without_expectation": clean.silent,
        "false_alerts": clean.alerts,
        "per_satellite_day": _number(clean.alerts / clean.days if clean.days else math.nan),
        "upper_95_per_satellite_day": _number(upper),
        "alerts": [
            {"satellite": satellite, "day": day, "channel": channel, "tests": list(tests)}
            for satellite, day, channel, tests in clean.rows
        ],
    }


def fault_mapping(faults: FaultCount) -> dict[str, Any]:
    """JSON-ready: by kind, and the miss list."""
    kinds = []
    for kind in sorted({row.kind for row in faults.rows}):
        delays = np.array([row.delay_s for row in faults.rows if row.kind == kind])
        found = int(np.isfinite(delays).sum())
        kinds.append(
            {
                "kind": kind,
                "faults": len(delays),
                "alerted": found,
                "share": found / len(delays),
                "share_lower_95": binomial_lower(found, len(delays)),
                "median_delay_s": _number(median_delay_s(delays)),
                "p95_delay_of_alerted_s": _number(
                    float(np.percentile(delays[np.isfinite(delays)], 95)) if found else math.nan
                ),
            }
        )
    upper = poisson_upper(faults.other_alerts, faults.other_days) if faults.other_days else math.nan
    return {
        "satellite_days": faults.days,
        "faults": faults.score.events,
        "alerted": faults.score.found,
        "share": _number(faults.score.recall),
        "share_lower_95": binomial_lower(faults.score.found, faults.score.events),
        "by_kind": kinds,
        "channels_without_fault": {
            "satellite_days": faults.other_days,
            "false_alerts": faults.other_alerts,
            "upper_95_per_satellite_day": _number(upper),
        },
        "misses": [
            {
                "kind": row.kind,
                "channel": row.channel,
                "magnitude": round(row.magnitude, 2),
                "duration_s": round(row.duration_s),
                "satellite": row.satellite,
                "day": row.day,
            }
            for row in sorted(faults.rows, key=lambda row: (row.kind, row.channel))
            if math.isnan(row.delay_s)
        ],
    }


def verdict_mapping(clean: CleanCount, faults: FaultCount | None) -> dict[str, object]:
    """SHIP, NO_SHIP or INCONCLUSIVE, from bounds.

    The median delay of a kind is at most so much where at least half of its faults, missed ones
    included, are alerted by then: a share like the other.
    """
    rows = faults.rows if faults else ()
    score = faults.score if faults else None
    requirements = [
        Requirement.rate_at_most(
            "false alerts per clean satellite-day at 0.1 Hz",
            LIMIT_PER_DAY,
            events=clean.alerts,
            exposure=clean.days,
        ),
        Requirement.share_at_least(
            "faults alerted at 1 Hz",
            LEAST_RECALL,
            hits=score.found if score else 0,
            trials=score.events if score else 0,
        ),
    ]
    for kind in SUDDEN:
        delays = np.array([row.delay_s for row in rows if row.kind == kind])
        requirements.append(
            Requirement.share_at_least(
                f"{kind} faults alerted within {MOST_DELAY_S:g} s at 1 Hz",
                0.5,
                hits=int((delays <= MOST_DELAY_S).sum()),
                trials=len(delays),
            )
        )
    return rule(requirements).as_mapping()


def median_delay_s(delays: np.ndarray) -> float:
    """Over all faults, a missed one as never; NaN where the middle one was missed, or none was.

    >>> median_delay_s(np.array([10.0, np.nan, 30.0])), median_delay_s(np.array([np.nan]))
    (30.0, nan)
    """
    if not len(delays):
        return math.nan
    ordered = np.sort(np.where(np.isfinite(delays), delays, np.inf))
    middle = float(ordered[(len(ordered) - 1) // 2])
    return middle if math.isfinite(middle) else math.nan


def report_lines(report: dict[str, Any]) -> list[str]:
    """For people: the same, in lines."""
    lines = [
        "seeds: " + ", ".join(f"{name} {seed}" for name, seed in report["seeds"].items()),
        f"budget: {report['budget_per_satellite_day']:g} false alerts per satellite-day",
    ]
    for name, rate in report["rates"].items():
        if "calibration" not in rate:
            continue
        learnt = rate["calibration"]
        lines.append(
            f"{name}: thresholds from {learnt['satellite_days']} clean satellite-days "
            f"({learnt['run_time_s']:.0f} s)"
        )
        if "clean" in rate:
            clean = rate["clean"]
            lines.append(
                f"{name}: {clean['false_alerts']} false alerts on {clean['satellite_days']} clean "
                f"satellite-days, at most {_text(clean['upper_95_per_satellite_day'])} per day "
                f"(95 %), {clean['run_time_s']:.0f} s, {_text(clean['samples_per_s'])} samples a "
                f"second; {clean['channel_days_without_expectation']} of "
                f"{clean['channel_days']} channel-days without expectation"
            )
        faults = rate["faults"]
        lines.append(
            f"{name}: {faults['alerted']} of {faults['faults']} faults alerted on "
            f"{faults['satellite_days']} satellite-days, {faults['run_time_s']:.0f} s; "
            f"{faults['channels_without_fault']['false_alerts']} alerts on channels without a "
            f"fault, {faults['channels_without_fault']['satellite_days']:.0f} satellite-days"
        )
        lines += [
            f"  {kind['kind']:<12}{kind['alerted']:>4} of {kind['faults']:<4} median "
            f"{_text(kind['median_delay_s'])} s, 95 % of the alerted within "
            f"{_text(kind['p95_delay_of_alerted_s'])} s"
            for kind in faults["by_kind"]
        ]
        lines += [
            f"  missed: {miss['kind']} of {miss['magnitude']:g} on {miss['channel']}, "
            f"{miss['duration_s']} s, satellite {miss['satellite']}, day {miss['day']}"
            for miss in faults["misses"]
        ]
    verdict = report["verdict"]
    lines += [f"{part['ruling']:<13}{part['name']}" for part in verdict["requirements"]]
    lines.append(f"verdict: {verdict['ruling']}")
    return lines + [f"note: {note}" for note in report["notes"]]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"
