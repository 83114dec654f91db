"""Mistakes in plans with cameras and stages of one's own are refused before the first frame."""

import pytest

from sightline.errors import PipelineError
from simulation.camera_plans import camera_plan

ZONES = {
    "use": "zones",
    "input": "things",
    "zones": {"pit": {"polygon_px": [[150, 0], [320, 0], [320, 240]], "is_forbidden": True}},
}
NO_ZONES = {"use": "zones", "input": "things"}
HEALTH = {"use": "camera_health", "input": ["east", "seen"]}
SAW = {"use": "machine", "input": ["z", "h"], "valid_s": 5, "max_age_s": 0.6, "hold_s": 0.5}
WINDOWS = {"use": "windows", "input": "belts", "width_s": 1, "statistics": ["mean", "max"]}


def refused(stages, **more):
    with pytest.raises(PipelineError) as caught:
        camera_plan(stages, **more)
    return str(caught.value)


def saw(*inputs, **changes):
    return {**SAW, "input": list(inputs), "zones": ["pit"], **changes}


# --- machines -------------------------------------------------------------------------------------


def test_a_machine_with_one_zones_stage_and_one_health_stage_of_its_camera_is_a_plan():
    plan = camera_plan({"z": ZONES, "h": HEALTH, "saw": saw("z", "h")})
    assert plan.items[-1].cameras == ("east",)


def test_a_machine_with_two_zones_stages_of_a_camera_is_refused():
    said = refused({"z": ZONES, "z2": NO_ZONES, "h": HEALTH, "saw": saw("z", "z2", "h")})
    assert "stages.saw" in said
    assert "one `zones` stage of camera east" in said
    assert "2 in z, z2, h" in said


def test_a_machine_without_a_zones_stage_is_refused():
    said = refused({"h": HEALTH, "saw": saw("h", zones=[])})
    assert "one `zones` stage of camera east" in said


def test_a_machine_that_does_not_know_the_health_of_its_camera_is_refused():
    said = refused({"z": ZONES, "saw": saw("z")})
    assert "one `camera_health` stage of camera east" in said


def test_a_machine_that_knows_only_the_health_of_a_camera_is_refused():
    stages = {"z": ZONES, "h": HEALTH, "h2": {"use": "camera_health", "input": "yard"}}
    said = refused({**stages, "saw": saw("z", "h", "h2")}, cameras=("east", "yard"))
    assert "one `zones` stage of camera yard" in said


def test_a_machine_whose_commands_run_out_while_an_own_stage_looks_is_refused():
    stages = {"z": ZONES, "h": HEALTH, "level": level(guarded={"budget_s": 1.5})}
    said = refused({**stages, "saw": saw("z", "h", valid_s=2.0, heartbeat_s=0.4)})
    assert "valid_s above 2.1" in said


# --- inputs of item stages ------------------------------------------------------------------------


def test_an_item_stage_on_rows_is_refused():
    said = refused({"any": {"use": "anything", "input": ["things", "belts"]}}, rows=True)
    assert "stages.any" in said
    assert "cameras or item stages" in said


def test_an_item_stage_on_a_series_stage_is_refused():
    stages = {"w": WINDOWS, "any": {"use": "anything", "input": ["things", "w"]}}
    said = refused(stages, rows=True)
    assert "stages.any" in said
    assert "cameras or item stages" in said


# --- series stages --------------------------------------------------------------------------------


def copied(**changes):
    return {"w": WINDOWS, "own": {"use": "copy", "input": "w", **changes}}


def test_a_plain_series_stage_on_keys_is_in_a_chain():
    plan = camera_plan(copied(measures=["speed.mean"]), cameras=(), rows=True)
    assert [step.name for step in plan.chains[0].steps] == ["own"]


def test_a_series_stage_that_nothing_would_run_is_refused():
    said = refused(copied(measures=["speed.mean"], scope="group"), cameras=(), rows=True)
    assert "stages.own" in said
    assert "a stage that something runs" in said


def test_columns_of_one_name_are_refused():
    # Each column is named by its field: the mean and the maximum of speed would be one.
    said = refused(copied(measures=["speed.mean", "speed.max"]), cameras=(), rows=True)
    assert "stages.own" in said
    assert "columns of different names" in said


# --- stages that look -----------------------------------------------------------------------------


def level(**changes):
    return {"use": "look_for_level", "input": "east", **changes}


def test_a_stage_that_looks_without_a_deadline_is_refused():
    said = refused({"level": level()})
    assert "stages.level" in said
    assert "guarded" in said


def test_a_stage_that_looks_longer_than_the_latency_budget_is_refused():
    said = refused({"level": level(guarded={"budget_s": 2.5})})
    assert "guarded.budget_s within latency_budget_s" in said


def test_a_stage_that_looks_within_the_latency_budget_is_a_plan():
    plan = camera_plan({"level": level(guarded={"budget_s": 1.5})})
    assert plan.budgets_s()["level"] == 1.5


def test_the_time_of_a_detect_stage_is_that_of_its_detector():
    assert camera_plan({}).budgets_s()["seen"] == 1.0
