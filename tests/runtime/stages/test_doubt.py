"""A detector's own doubt reaches the machine, and ends by somebody's word and by nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from sightline.recorder import read_entries
from sightline.records import Detections, EntryKind
from sightline.records.command import ActuatorCommand, CommandLevel
from sightline.records.detections import Doubt, DoubtCode
from sightline.records.signals import NS_PER_S
from sightline.runtime import RunDirectory
from sightline.runtime.engine.guarding import Lookers
from simulation.site_cases import by_camera, camera, plan_of, run_yard, yard

NONE, STOP = CommandLevel.NONE, CommandLevel.STOP


class Crowded:
    """Sees more things than are followed, from the third second on."""

    version = "crowded@1"
    class_names = ("person",)

    def look(self, frames):
        return [self._look(frame) for frame in frames]

    def _look(self, frame):
        many = 2_001 if frame.capture_ns >= 3 * NS_PER_S else 0
        x = np.arange(many) % 60 + 1.0
        y = np.arange(many) // 60 * 6.0
        boxes = np.stack([x, y, x + 2, y + 5], axis=1)
        return Detections.of(
            frame.stream, frame.capture_ns, box_px=boxes, score=np.full(many, 0.01)
        )


class Doubting:
    """Sees nobody, and says of itself what it is told to."""

    version = "doubting@1"
    class_names = ("person",)

    def __init__(self, doubt_at):
        self._doubt_at = doubt_at

    def look(self, frames):
        return [
            replace(
                Detections.of(f.stream, f.capture_ns, box_px=[], score=[]),
                doubt=self._doubt_at(f.capture_ns / NS_PER_S),
            )
            for f in frames
        ]


def unproven(since_s):
    return Doubt(code=DoubtCode.VIEW_UNPROVEN, since_ns=round(since_s * NS_PER_S))


def told(tmp_path, doubt_at, *, starts_empty, seconds=6.0, looker=None, **options):
    """The levels the machine was told, each once, with codes and time of its first command."""
    plain = yard()
    plain["cameras"]["east"]["starts_empty"] = starts_empty
    plan = plan_of(plain)
    primary = looker or Doubting(doubt_at)
    looking = by_camera(east=Lookers(primary=primary, fallback=None, budget_s=30.0))
    out = tmp_path / "run"
    run_yard(plan, out, camera(seconds=seconds), looking=looking, **options)
    found = []
    for entry in read_entries(RunDirectory.open(out).storage, "p000", kinds={EntryKind.COMMAND}):
        command = ActuatorCommand.from_bytes(entry.payload)
        if not found or found[-1][0] is not command.level:
            codes = {reason.code for reason in command.reasons}
            found.append((command.level, codes, command.issued_ns / NS_PER_S))
    return found


def test_a_machine_waits_while_nobody_has_said_that_the_view_was_empty(tmp_path):
    levels = told(tmp_path, lambda at_s: unproven(0.0), starts_empty=False)
    assert [level for level, _, _ in levels] == [STOP]
    assert "VIEW_UNPROVEN" in levels[0][1]


def test_a_machine_is_let_go_where_the_view_was_empty_at_the_start(tmp_path):
    levels = told(tmp_path, lambda at_s: unproven(0.0), starts_empty=True)
    assert [level for level, _, _ in levels] == [STOP, NONE]


def test_a_detector_that_begins_anew_has_a_doubt_that_nobody_has_settled(tmp_path):
    levels = told(tmp_path, lambda at_s: unproven(0.0 if at_s < 3 else 3.0), starts_empty=True)
    assert [level for level, _, _ in levels] == [STOP, NONE, STOP]


def test_a_view_that_is_another_for_a_moment_stops_nothing(tmp_path):
    blind = Doubt(code=DoubtCode.VIEW_CHANGED, since_ns=3 * NS_PER_S)
    levels = told(tmp_path, lambda at_s: blind if 3 <= at_s < 3.3 else None, starts_empty=False)
    assert [level for level, _, _ in levels] == [STOP, NONE]


def test_a_view_that_stays_another_is_no_sight(tmp_path):
    blind = Doubt(code=DoubtCode.VIEW_CHANGED, since_ns=3 * NS_PER_S)
    levels = told(tmp_path, lambda at_s: blind if at_s >= 3 else None, starts_empty=True)
    assert [level for level, _, _ in levels] == [STOP, NONE, STOP]
    assert levels[-1][2] == pytest.approx(3.5, abs=0.3)


def test_a_detector_that_compares_with_nothing_needs_nobodys_word(tmp_path):
    levels = told(tmp_path, lambda at_s: None, starts_empty=False)
    assert [level for level, _, _ in levels] == [STOP, NONE]


def test_an_operator_who_has_looked_settles_the_doubt(tmp_path):
    word = {"control": "view_is_empty", "camera": "east"}
    given = []

    def controls():
        given.append(1)
        return [word] if len(given) == 20 else []

    levels = told(
        tmp_path, lambda at_s: unproven(0.0), starts_empty=False, seconds=12.0, controls=controls
    )
    assert [level for level, _, _ in levels] == [STOP, NONE]


def test_more_things_than_are_followed_are_no_calm(tmp_path):
    levels = told(tmp_path, None, starts_empty=True, seconds=3.3, looker=Crowded())
    assert [level for level, _, _ in levels] == [STOP, NONE, STOP]
    assert "AT_BOUND" in levels[-1][1]
