"""Site pipelines: every mistake is found before a frame is read, and named."""

import json

import pytest

from sightline.errors import ContractError, PipelineError
from sightline.records.command import CommandLevel
from sightline.runtime.pipeline_file import load_plan
from sightline.runtime.planner import plan_as_mapping, plan_from_mapping
from simulation.site_cases import plan_of, two_cameras, yard

GROUND = {
    "kind": "homography",
    "image_size_px": [640, 480],
    "pixel_origin": "corner",
    "ground_from_pixel": [[0.01, 0, 0], [0, 0.01, 0], [0, 0, 1]],
}


def changed(path, value):
    """The yard with one value replaced; ``path`` like ``zones.pit.camera``."""
    plain = two_cameras()
    *places, last = path.split(".")
    at = plain
    for place in places:
        at = at[place]
    at[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("cameras.east.detector", "yolo", "cameras.east.detector"),
        ("cameras.east.fallback", "yolo", "cameras.east.fallback"),
        ("zones.pit.camera", "north", "zones.pit.camera"),
        ("machines.saw.cameras", ["north"], "machines.saw.cameras"),
        ("machines", {False: {"cameras": ["east"]}}, "put the name in quotes"),
        ("zones.pit.polygon_px", [[1e300, 0], [320, 0], [320, 240]], "finite coordinates"),
        ("machines.saw.zones", ["hole"], "machines.saw.zones"),
        ("machines.saw.cameras", ["west"], "machines.saw.zones"),
        ("machines.saw.heartbeat_s", 5.0, "stages.saw: expected valid_s above 6.1: heartbeat_s"),
        ("machines.saw.heartbeat_s", 0.05, "stages.saw: expected heartbeat_s"),
        ("machines.saw.max_age_s", 0.01, "stages.saw: expected heartbeat_s and max_age_s"),
        ("machines.saw.level_of", {"DWELL": "explode"}, "machines.saw.level_of.DWELL"),
        ("machines.saw.level_of", {"DWEL": "warn"}, "write 'DWELL'"),
        ("machines.saw.valid_s", 1.0, "stages.saw: expected valid_s above 1.5"),
        ("cameras.east.fallback", "motion", "stages.east_detect.fallback: expected fallback"),
        ("batch_wait_s", 0.5, "within latency_budget_s (1 s)"),
        ("zones.pit.polygon_m", [[0, 0], [1, 0], [1, 1]], "zones.pit"),
        ("zones.pit.confidence", 2.0, "zones.pit.confidence"),
        (
            "zones.pit.polygon_px",
            [[0, 0], [1, 1]],
            "stages.east_zones.zones.pit: expected zones.pit",
        ),
        ("latency_budget_s", 0, "latency_budget_s"),
        ("surprise", 1, "surprise"),
    ],
)
def test_a_mistake_is_refused_and_its_place_is_named(path, value, said):
    with pytest.raises(PipelineError) as caught:
        plan_of(changed(path, value))
    assert said in str(caught.value)


def test_a_zone_that_crosses_itself_is_refused_with_the_edges_that_cross():
    bow = [[0, 0], [100, 100], [100, 0], [0, 100]]
    with pytest.raises(PipelineError, match="edge") as caught:
        plan_of(changed("zones.pit.polygon_px", bow))
    assert caught.value.expected.startswith("zones.pit: ")


def test_a_zone_in_metres_needs_a_geometry():
    plain = changed("zones.pit.polygon_px", None)
    del plain["zones"]["pit"]["margin_px"]
    plain["zones"]["pit"]["polygon_m"] = [[0, 0], [1, 0], [1, 1]]
    with pytest.raises(PipelineError, match=r"zones\.pit: a geometry of east, or polygon_px"):
        plan_of(plain)


def test_a_contract_that_is_wrong_is_named_with_its_camera():
    plain = yard()
    plain["cameras"]["east"]["contract"]["rate_hz"] = -1
    with pytest.raises(ContractError) as caught:
        plan_of(plain)
    assert "sources.east.frames" in caught.value.where


def test_a_calibration_made_at_another_size_is_scaled():
    plain = yard()
    plain["cameras"]["east"]["geometry"] = GROUND
    geometry = plan_of(plain).cameras["east"].geometry
    assert geometry.image_size_px == (320, 240)
    assert geometry.ground_from_pixel([[320.0, 240.0]]).round(9).tolist() == [[6.4, 4.8]]


def test_a_calibration_of_another_shape_is_refused():
    plain = yard()
    plain["cameras"]["east"]["geometry"] = {**GROUND, "image_size_px": [640, 360]}
    with pytest.raises(PipelineError, match="aspect ratio"):
        plan_of(plain)


def test_a_plan_survives_the_run_directory():
    plan = plan_of(two_cameras())
    plain = json.loads(json.dumps(plan_as_mapping(plan)))
    again = plan_from_mapping(plain, where="run.json")
    assert again.digest == plan.digest
    assert again.pipeline == plan.pipeline


@pytest.mark.parametrize(
    ("path", "value", "is_other"),
    [
        ("description", "the east yard", False),
        ("images", {"keep": "full"}, False),
        ("latency_budget_s", 1.9, False),
        ("clear_s", 0.7, True),
        ("machines.saw.hold_s", 1.5, True),
        ("zones.pit.margin_px", 3.0, True),
        ("cameras.east.contract", {**yard()["cameras"]["east"]["contract"], "rate_hz": 9}, True),
    ],
)
def test_the_digest_changes_with_what_can_change_a_decision_and_with_nothing_else(
    path, value, is_other
):
    before, after = plan_of(two_cameras()).digest, plan_of(changed(path, value)).digest
    assert (before != after) is is_other


def rule_of(plain):
    plan = plan_of(plain)
    return plan.stage("saw").machine_plan(plan).rule


def test_a_reason_nobody_has_listed_asks_for_a_stop():
    rule = rule_of(yard())
    assert rule.level_of.get("SOMETHING_NEW", CommandLevel.STOP) is CommandLevel.STOP
    assert rule.level_of["DWELL"] is CommandLevel.WARN


def test_a_machine_may_ask_for_less_or_more_than_the_default():
    rule = rule_of(changed("machines.saw.level_of", {"DWELL": "stop"}))
    assert rule.level_of["DWELL"] is CommandLevel.STOP


def test_contract_and_geometry_may_be_files_beside_the_pipeline(tmp_path):
    plain = yard()
    contract = plain["cameras"]["east"]["contract"]
    (tmp_path / "contract.yaml").write_text(json.dumps(contract))
    (tmp_path / "camera.yaml").write_text(json.dumps(GROUND))
    plain["cameras"]["east"].update(contract="contract.yaml", geometry="camera.yaml")
    (tmp_path / "site.yaml").write_text(json.dumps(plain))
    plan = load_plan(tmp_path / "site.yaml")
    assert plan.cameras["east"].contract.width_px == 320
    assert plan.cameras["east"].geometry is not None
    assert plan.pipeline.cameras["east"].geometry["kind"] == "homography"


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "site.yaml").write_text("a: [")
    with pytest.raises(PipelineError, match="readable YAML"):
        load_plan(tmp_path / "site.yaml")
