"""Trials in a closed loop, with the real tracker, assessment and interlock."""

import json
import math
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.safety import (
    Deployment,
    SceneConfig,
    SensorModel,
    draw_clear,
    draw_conflict,
    run_trial,
)
from benchmarks.safety.evaluation import (
    EVALUATION_SEEDS,
    TUNING_SEEDS,
    evaluate_safety,
    upper_bound,
)
from benchmarks.safety.trial import STREAM, Loop
from sightline.records.command import CommandLevel

CONFIG, DEPLOYMENT = SceneConfig(), Deployment()


@pytest.fixture(scope="module", params=[8, pytest.param(30, marks=pytest.mark.soak)])
def figures(request):
    """Of some scenes of each kind, of the seeds that settings are chosen by."""
    return evaluate_safety(runs=request.param, first_seed=0)


def test_every_stop_of_some_conflicts_comes_in_time_and_nobody_is_hit(figures):
    assert figures["conflict"]["missed_seeds"] == []
    assert figures["conflict"]["hits"] == 0


def test_scenes_without_conflict_are_driven_through_without_a_stop(figures):
    assert figures["clear"]["false_stop_seeds"] == []


def test_so_few_runs_are_too_few_to_pass(figures):
    assert not figures["passed"]


def test_every_vehicle_came_into_service(figures):
    assert figures["never_in_service"] == []


def test_figures_are_plain_json(figures):
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_trial_depends_on_its_seed_alone():
    scene = draw_conflict(CONFIG, 1)
    assert run_trial(scene, DEPLOYMENT) == run_trial(scene, DEPLOYMENT)


def test_a_vehicle_that_is_never_stopped_hits_the_person():
    by = DEPLOYMENT.actuation
    deaf = replace(by, level_of=dict.fromkeys(by.level_of, CommandLevel.NONE))
    trial = run_trial(draw_conflict(CONFIG, 1), replace(DEPLOYMENT, actuation=deaf))
    assert trial.hit_m_s > 0 and not trial.is_in_time and trial.spare_s == -math.inf


def test_a_camera_that_loses_every_picture_lets_no_vehicle_go():
    blind = replace(DEPLOYMENT, sensor=SensorModel(dropped=1.0))
    trial = run_trial(draw_clear(CONFIG, 1), blind)
    assert not trial.is_complete and not trial.is_in_time and trial.stops == ()


def test_a_stop_for_nothing_is_counted():
    blinks = replace(DEPLOYMENT.actuation, max_age_s=0.4)
    trials = [
        run_trial(draw_clear(CONFIG, seed), replace(DEPLOYMENT, actuation=blinks))
        for seed in range(3)
    ]
    assert any(trial.stops for trial in trials)


def test_without_a_picture_the_loop_stops():
    scene = draw_clear(CONFIG, 0)
    loop = Loop(DEPLOYMENT, DEPLOYMENT.machine_rule(scene), None)
    command = loop.step(0, None)
    assert command.level == "stop" and loop.tracks is None and STREAM == "yard"


def test_seeds_of_the_figures_are_not_those_of_the_settings():
    assert not set(TUNING_SEEDS) & set(EVALUATION_SEEDS)


@pytest.mark.parametrize(
    ("failures", "runs", "bound"),
    [(0, 1000, 1 - 0.05 ** (1 / 1000)), (1, 2, math.sqrt(0.95)), (5, 5, 1.0)],
)
def test_the_bound_is_that_of_clopper_and_pearson(failures, runs, bound):
    assert upper_bound(failures, runs) == pytest.approx(bound)


def test_no_loss_in_a_thousand_runs_meets_the_allowed_rate_and_one_does_not():
    assert upper_bound(0, 1000) <= 0.003 < upper_bound(1, 1000)


def test_the_command_prints_one_json_document():
    result = CliRunner().invoke(app, ["safety", "--runs", "1", "--first-seed", "0", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["conflict"]["runs"] == 1
