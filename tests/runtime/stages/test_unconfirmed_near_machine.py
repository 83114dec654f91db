"""A machine that moves is slow for what is no track yet, where it would have to stop for it."""

from dataclasses import replace

import numpy as np
import pytest

from sightline.recorder import read_entries
from sightline.records import EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.runtime import replay_run
from sightline.runtime.engine.guarding import Lookers
from sightline.runtime.stages.meanings import meaning
from simulation.site_cases import by_camera
from simulation.yard_runs import Seer, camera, driving, plan_of, run_yard

AHEAD_PX, ASIDE_PX = [155.0, 80.0, 165.0, 120.0], [155.0, 180.0, 165.0, 220.0]
"""Somebody on the way of the vehicle, and 5 m beside it."""


class Glimpse(Seer):
    """Sees a vehicle that drives, and a person only in some frames."""

    def __init__(self, frames, person_px):
        super().__init__(("person", "vehicle"))
        self.frames, self.person_px = frames, person_px

    def _detect(self, frame):
        whole = super()._detect(frame)
        is_person = whole.class_id == 0
        box_px = np.where(is_person[:, None], self.person_px, whole.box_px)
        return replace(whole, box_px=box_px).only(~is_person | (frame.index in self.frames))


@pytest.fixture
def run_with(tmp_path):
    """A run of 4 s in which the vehicle drives from 2 to 6 m, and somebody at 8 m is glimpsed."""

    def run(frames, person_px, **changes):
        plain = driving()
        plain["machines"]["saw"].update(changes)
        seer = Lookers(primary=Glimpse(frames, person_px), fallback=None, budget_s=1.0)
        cameras = [camera(seconds=4)]
        return run_yard(plan_of(plain), tmp_path / "run", cameras, by_camera(east=seer))

    return run


def levels(run):
    """The levels of commands once the vehicle is a track, and the codes of their first reasons."""
    said = [
        ActuatorCommand.from_bytes(entry.payload)
        for entry in read_entries(run.storage, "p000", kinds={EntryKind.COMMAND})
    ]
    return [(c.level, c.reasons[0].code if c.reasons else "") for c in said if c.issued_ns > 2e9]


def test_what_was_seen_in_two_frames_before_a_vehicle_makes_it_slow(run_with):
    found = levels(run_with((30, 31), AHEAD_PX))
    assert (CommandLevel.SLOW, "UNCONFIRMED_NEAR_MACHINE") in found
    assert CommandLevel.STOP not in {level for level, _ in found}


@pytest.mark.parametrize(("frames", "person_px"), [((30,), AHEAD_PX), ((30, 31), ASIDE_PX)])
def test_one_sighting_or_a_place_where_it_need_not_stop_does_not(run_with, frames, person_px):
    assert {level for level, _ in levels(run_with(frames, person_px))} == {CommandLevel.NONE}


def test_the_third_sighting_makes_somebody_of_it_and_stops(run_with):
    assert CommandLevel.STOP in {level for level, _ in levels(run_with((30, 31, 32), AHEAD_PX))}


def test_it_is_explained_replays_and_is_no_decision_about_a_person(run_with):
    run = run_with((30, 31), AHEAD_PX)
    assert replay_run(run)
    assert meaning("UNCONFIRMED_NEAR_MACHINE").startswith("something was seen")
    assert {d.kind for d in run.decisions()} <= {"command_stop", "command_none", "command_slow"}


def test_a_machine_may_ask_for_another_level(run_with):
    found = levels(run_with((30, 31), AHEAD_PX, level_of={"UNCONFIRMED_NEAR_MACHINE": "warn"}))
    assert {level for level, _ in found} == {CommandLevel.NONE, CommandLevel.WARN}
