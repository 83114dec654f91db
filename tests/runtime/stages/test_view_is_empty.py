"""An operator's word that a view is empty: what detector, zone and machine make of it."""

import numpy as np
import pytest

from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory, replay_run
from sightline.runtime.engine.answerers import lookers
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.pictures.logged_pictures import looked_at_again
from sightline.sense.frames.simulated_camera import SimulatedThing
from simulation.site_cases import by_camera, camera, plan_of, run_yard, yard
from simulation.yard_runs import Seer, driving

NONE, SLOW, STOP = CommandLevel.NONE, CommandLevel.SLOW, CommandLevel.STOP
WORD = {"control": "view_is_empty", "camera": "east"}


def pallet():
    """Something that is set down in the pit after two seconds and stays."""
    at_ns = np.array([2, 2.5, 60]) * NS_PER_S
    boxes = [[300, 120, 320, 180], [210, 120, 230, 180], [210, 120, 230, 180]]
    return SimulatedThing(at_ns=at_ns.astype(np.int64), box_px=np.array(boxes, float))


def said_at(call, word=WORD):
    """Operator inputs: the word when they are asked for the ``call``-th time."""
    asked = []

    def controls():
        asked.append(1)
        return [word] if len(asked) == call else []

    return controls


def levels(out):
    found = []
    for entry in read_entries(RunDirectory.open(out).storage, "p000", kinds={EntryKind.COMMAND}):
        command = ActuatorCommand.from_bytes(entry.payload)
        if not found or found[-1] is not command.level:
            found.append(command.level)
    return found


def watched():
    plan = plan_of(yard(images={"keep": "full"}))
    return plan, lookers(plan), camera(seconds=9, things=[pallet()], rate_hz=5.0)


def test_what_was_set_down_in_a_zone_stops_a_machine_until_somebody_says_it_is_nobody(tmp_path):
    plan, looking, east = watched()
    run_yard(plan, tmp_path / "run", east, looking=looking, controls=said_at(55))
    # Slow while it is seen for the second time and no track yet.
    assert levels(tmp_path / "run") == [STOP, NONE, SLOW, STOP, NONE]


def test_a_run_with_the_word_replays_with_its_detectors_and_goes_on_after_a_stop(tmp_path):
    plan, looking, east = watched()
    run_yard(plan, tmp_path / "whole", east, looking=looking, controls=said_at(55))
    whole = RunDirectory.open(tmp_path / "whole")
    assert replay_run(whole)
    assert list(looked_at_again(whole, lookers(whole.plan))) == []

    calls = []

    def is_stopped():
        calls.append(1)
        return len(calls) > 120

    plan, looking, east = watched()
    cut = tmp_path / "cut"
    run_yard(plan, cut, east, looking=looking, controls=said_at(55), is_stopped=is_stopped)
    storage = RunDirectory.open(cut).storage
    assert len(list(read_entries(storage, "p000", kinds={EntryKind.CONTROL}))) == 1
    plan, looking, east = watched()
    run_yard(plan, cut, east, looking=looking, resume=True)
    assert RunDirectory.open(cut).decisions() == whole.decisions()


def test_the_word_about_a_camera_that_is_not_there_is_refused(tmp_path):
    plan, looking, east = watched()
    word = {**WORD, "camera": "west"}
    report = run_yard(plan, tmp_path / "run", east, looking=looking, controls=said_at(20, word))
    assert report.refused_controls == 1


class Vanishing(Seer):
    """Somebody who is before the vehicle and not seen any more after three seconds."""

    def _detect(self, frame):
        found = super()._detect(frame)
        is_vehicle = found.class_id == found.class_names.index("vehicle")
        return found if frame.capture_ns < 3 * NS_PER_S else found.only(is_vehicle)


@pytest.mark.parametrize("call", [None, 100])
def test_who_vanished_before_a_vehicle_holds_it_until_somebody_says_that_nobody_is_there(
    tmp_path, call
):
    seer = Lookers(primary=Vanishing(("person", "vehicle")), fallback=None, budget_s=1.0)
    run_yard(
        plan_of(driving()),
        tmp_path / "run",
        camera(seconds=14, rate_hz=5.0),
        looking=by_camera(east=seer),
        controls=said_at(call),
    )
    assert levels(tmp_path / "run") == [STOP, NONE, STOP, NONE][: 3 if call is None else 4]
