"""A zone that lies where the picture shows nothing has no sight, and the others have."""

import numpy as np
import pytest

from sightline.errors import PipelineError
from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.stages.zones import parts_of
from simulation.calm import Scene, judge, run_scene, visit
from simulation.site_cases import plan_of, yard

LEFT, PIT = (0.0, 0.0, 0.3, 1.0), (0.3, 0.0, 0.77, 1.0)


def part_scene(how, box):
    person = visit(np.random.default_rng(1), start_s=16.0, stay_s=6.0, x_px=80.0)
    return Scene(kind="part", seed=4, seconds=26.0, people=(person,), part=(10.0, 26.0, how, box))


def told(out):
    """(s, level, codes) of each command."""
    run = RunDirectory.open(out)
    for entry in read_entries(run.storage, "p000", kinds={EntryKind.COMMAND}):
        command = ActuatorCommand.from_bytes(entry.payload)
        yield command.issued_ns / NS_PER_S, command.level, {r.code for r in command.reasons}


@pytest.mark.parametrize("how", ["frozen", "covered"])
def test_a_zone_in_a_part_that_shows_nothing_stops_its_machine_and_is_told(tmp_path, how):
    scene = part_scene(how, PIT)
    run_scene(scene, tmp_path / "run")
    commands = list(told(tmp_path / "run"))
    assert not judge(scene, tmp_path / "run").is_false_calm
    assert all(level is CommandLevel.STOP for at_s, level, _ in commands if at_s > 12.0)
    assert any("ZONE_UNSEEN" in codes for _, _, codes in commands)
    kinds = {(d.kind, d.subject) for d in RunDirectory.open(tmp_path / "run").decisions()}
    assert ("zone_unseen", "east/pit") in kinds


def test_a_part_beside_the_zone_does_not_stop_its_machine(tmp_path):
    run_scene(part_scene("covered", LEFT), tmp_path / "run")
    commands = list(told(tmp_path / "run"))
    assert not any("ZONE_UNSEEN" in codes for _, _, codes in commands)
    assert any(level is CommandLevel.NONE for at_s, level, _ in commands if 11 < at_s < 16)


def test_a_zone_between_the_places_that_are_asked_lies_in_the_nearest_part():
    tiny = [[101.0, 41.0], [101.5, 41.0], [101.5, 41.5]]
    plan = plan_of(
        yard(
            zones={"pit": {"camera": "east", "polygon_px": tiny}},
            machines={"saw": {"cameras": ["east"], "zones": ["pit"], "valid_s": 3.0}},
        )
    )
    (stage,) = [one.stage for one in plan.items if one.stage.use == "zones"]
    parts = parts_of(stage.zones(plan.cameras["east"]), (320, 240), None)
    assert np.argwhere(parts[0]).tolist() == [[2, 5]]
    assert parts[1].all()


def test_a_machine_that_nobody_could_stop_is_refused():
    with pytest.raises(PipelineError, match="nobody who is seen could ever stop it"):
        plan_of(yard(machines={"saw": {"cameras": ["east"]}}))
