"""Trials: three fleets that share nothing, denominators stated, no data no verdict."""

from functools import cache
from itertools import count

import numpy as np
import pytest

from benchmarks.alert_scores import Intervals
from benchmarks.fleet.alert_days import told, trial_scene
from benchmarks.fleet.alert_report import AlertTrialPlan, alert_report, report_lines
from benchmarks.fleet.alert_trials import TrialSeeds, learn_thresholds
from sightline.apps.gateway.telemetry_scene import scene_block
from sightline.errors import UsageError

NOTHING = AlertTrialPlan(
    satellite_days=0, calibration_days=0, fast_calibration_days=0, fault_days=0, fast_fault_days=0
)


def ticking():
    seconds = count()
    return lambda: float(next(seconds))


@cache
def small_report():
    plan = AlertTrialPlan(
        satellite_days=2, calibration_days=10, fault_days=3, fast_calibration_days=0
    )
    return alert_report(plan, clock_s=ticking())


def test_thresholds_are_not_judged_on_the_fleet_they_were_set_on():
    with pytest.raises(UsageError, match="three different seeds"):
        TrialSeeds(calibration=1, clean=1, faults=2)


def test_fleets_of_different_seeds_share_no_sample():
    seeds = TrialSeeds()
    one, other = (
        trial_scene(seed=seed, satellites=1, days=1, period_s=10.0)
        for seed in (seeds.calibration, seeds.clean)
    )
    a, b = (scene_block(scene, satellite=0, day=0).values for scene in (one, other))
    assert not np.any(np.all(np.isclose(a, b), axis=1))


def test_too_few_days_to_read_a_tail_off_are_refused():
    with pytest.raises(UsageError, match="10 or more satellite-days"):
        learn_thresholds(seed=1, days=9, period_s=10.0, budget=1e-3)


def test_without_data_there_is_no_verdict():
    report = alert_report(NOTHING, clock_s=ticking())
    assert report["verdict"]["ruling"] == "INCONCLUSIVE"


@pytest.mark.soak
def test_without_the_fast_runs_there_is_no_ship():
    assert small_report()["verdict"]["ruling"] != "SHIP"


@pytest.mark.soak
def test_the_report_states_what_each_figure_is_out_of():
    rate = small_report()["rates"]["0.1 Hz"]
    assert rate["calibration"]["satellite_days"] == 10
    assert rate["clean"]["satellite_days"] == 2
    assert rate["faults"]["satellite_days"] == 3
    assert rate["faults"]["faults"] == sum(kind["faults"] for kind in rate["faults"]["by_kind"])


@pytest.mark.soak
def test_the_miss_list_holds_every_fault_without_an_alert():
    faults = small_report()["rates"]["0.1 Hz"]["faults"]
    assert len(faults["misses"]) == faults["faults"] - faults["alerted"]


@pytest.mark.soak
def test_the_lines_name_seeds_and_verdict():
    lines = report_lines(small_report())
    assert lines[0] == "seeds: calibration 9301, clean 7301, faults 8301"
    assert any(line.startswith("verdict: ") for line in lines)


def test_alerts_an_hour_apart_are_two():
    minute = 60 * 10**9
    assert told(Intervals.of([(0, minute), (30 * minute, 31 * minute)])) == 1
    assert told(Intervals.of([(0, minute), (62 * minute, 63 * minute)])) == 2
